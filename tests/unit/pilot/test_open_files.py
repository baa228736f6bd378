"""What a pilot may open: refused at the block's start where the hard limit is too low."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.pilot.open_files import provide
hosts, way = int(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
tree = Tree.of([f"n{number}" for number in range(hosts)], {}) if way == "tree" else STAR
provide(hosts, in_steps=True, tree=tree)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def tried(hosts: int, way: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CODE, str(hosts), way]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("hosts", "way"), [(9400, "tree"), (4000, "star")])
def test_as_many_as_may_be_needed_are_allowed(hosts: int, way: str) -> None:
    done = tried(hosts, way)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 4096


def test_what_the_hard_limit_does_not_allow_is_refused() -> None:
    done = tried(9400, "star")
    assert done.returncode == 1
    assert "The pilot of a block of 9401 hosts needs 94" in done.stderr
    assert "the hard limit is 4096" in done.stderr
