"""Limits belong to a process: each test has one of its own."""

import os
import subprocess
import sys

import pytest

from rhapsody_parsl.hosts import limits
from testing.unprivileged import as_nobody

_BEGIN = """
import os, resource, subprocess, sys
from rhapsody_parsl.hosts import limits
def soft_of(words):
    asked = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"]
    return int(subprocess.run([*words(asked)], capture_output=True, text=True, check=True).stdout)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
"""


def _told(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", _BEGIN + program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_soft_limit_is_raised_as_far_as_is_needed_and_what_is_started_has_the_first() -> None:
    program = """
print(limits.allow(20), resource.getrlimit(resource.RLIMIT_NOFILE)[0], soft_of(limits.as_the_job))
print(limits.allow(100) > 0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 100, soft_of(limits.as_the_job))
print(limits.allow(10_000) > 9_800, resource.getrlimit(resource.RLIMIT_NOFILE)[0], limits.of_the_job())
"""
    assert _told(program).splitlines() == ["0 64 64", "False True 64", "True 128 64"]


@pytest.mark.parametrize(("files", "soft"), [(32, 64), (100, 100), (1000, 128)])
def test_a_command_may_have_more_as_far_as_the_hard_limit_allows(files: int, soft: int) -> None:
    assert _told(f"print(soft_of(lambda words: limits.with_more({files}, words)))") == str(soft)


def test_no_room_for_a_descriptor_is_seen_before_one_is_needed() -> None:
    program = """
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(64 - len(os.listdir("/proc/self/fd")) - 4)]
limits.check_room(4)
try:
    limits.check_room(8)
except OSError as problem:
    before = len(held)
    print(problem.strerror, os.open(os.devnull, os.O_RDONLY) == held[-1] + 1, "open files is 64" in limits.shortage())
"""
    assert _told(program) == "Too many open files True True"


@pytest.mark.skipif(os.geteuid() != 0, reason="a process limit binds no root, and only root can become somebody else")
def test_a_user_is_told_how_many_processes_are_left() -> None:
    assert limits.few_processes(1 << 40) == ""  # as root
    program = """
import resource
from rhapsody_parsl.hosts import limits
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
resource.setrlimit(resource.RLIMIT_NPROC, (limits._threads() + 5, hard))
print(limits.few_processes(5) + "|" + limits.few_processes(6))
"""
    done = subprocess.run(as_nobody([sys.executable, "-c", program]), capture_output=True, text=True, check=True)
    few, fewer = done.stdout.strip().split("|")
    assert few == ""
    assert fewer.startswith("6 processes and threads are needed, and this user may have 5 more (ulimit -u is ")


@pytest.mark.parametrize(("kind", "words"), [("FSIZE", "ulimit -f"), ("AS", "ulimit -v"), ("DATA", "ulimit -d")])
def test_a_limit_that_most_systems_do_not_set_is_told(kind: str, words: str) -> None:
    limit = f"resource.setrlimit(resource.RLIMIT_{kind}, (1 << 30, -1))"
    assert "may have 1024 MB" in (told := _told(f"{limit}; print(limits.shortage())"))
    assert words in told


def test_whether_a_thread_more_can_be_started_is_seen_before_a_library_needs_one() -> None:
    size = "int(open('/proc/self/statm').read().split()[0]) * 4096"
    few = f"resource.setrlimit(resource.RLIMIT_AS, ({size} + (4 << 20), -1))"
    assert _told("print(limits.can_start(4))") == "True"
    assert _told(f"{few}; print(limits.can_start(4))") == "False"


def test_who_inherits_a_raised_limit_knows_the_jobs() -> None:
    code = (
        "import resource; from rhapsody_parsl.hosts import limits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (400, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "limits.inherit({}, 64)\n"
        "limits.allow(500)\n"
        "print(*limits.raised()[1:], *limits.as_the_job(['x'])[3:])"
    )
    told = [
        subprocess.run([sys.executable, "-c", code.format(now)], capture_output=True, text=True, check=True).stdout
        for now in (400, 300)
    ]
    assert [text.split() for text in told] == [["64", "64", "x"], ["400", "400", "x"]]
