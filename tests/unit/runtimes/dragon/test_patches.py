"""What we mend in Dragon's own processes, in its real modules."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rhapsody_parsl.runtimes.dragon.partition as dragon

pytestmark = [
    pytest.mark.dragon,
    pytest.mark.skipif(importlib.util.find_spec("dragon") is None, reason="no Dragon"),
]

# Takes the start messages named on the command line, as the launcher's front end does for three nodes.
FRONT_END = """
import sys
from dragon.launcher import dragon_multi_fe
from dragon.infrastructure import messages as said
class Pipe:
    def __init__(self, kinds):
        self.messages = [getattr(said, kind)(tag=0).serialize() for kind in kinds]
    def recv(self):
        return self.messages.pop(0)
front_end = object.__new__(dragon_multi_fe.LauncherFrontEnd)
front_end.__dict__.update(la_fe_stdin=Pipe(sys.argv[1:]), _STATE=None)
front_end._raise_startup_failure = lambda message, what: sys.exit(f"{type(message).__name__} instead of {what}")
for kind, count in (said.TAUp, 3), (said.GSIsUp, 1):
    print(*[type(message).__name__ for message in front_end._recv_startup_msgs(kind, count)])
"""
ALL = "TAUp TAUp TAUp\nGSIsUp\n"


def front_end(folder: Path, messages: str, path: str = dragon._PATCHES) -> subprocess.CompletedProcess[str]:
    """Run it as the command `dragon`."""
    (folder / "dragon").write_text(FRONT_END)
    words = [sys.executable, str(folder / "dragon"), *messages.split()]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("messages", [
    "TAUp TAUp TAUp GSIsUp",
    "TAUp TAUp GSIsUp TAUp",
    "GSIsUp TAUp TAUp TAUp",
])  # fmt: skip
def test_nodes_may_be_heard_in_any_order(tmp_path: Path, messages: str) -> None:
    assert front_end(tmp_path, messages).stdout == ALL


def test_dragon_itself_takes_a_slow_node_for_an_error(tmp_path: Path) -> None:
    """When this fails, Dragon has been mended and `await_nodes` can go."""
    assert "GSIsUp instead of TAUp" in front_end(tmp_path, "TAUp TAUp GSIsUp TAUp", path="").stderr


def test_any_other_message_is_an_error_as_before(tmp_path: Path) -> None:
    assert "ExceptionlessAbort instead of TAUp" in front_end(tmp_path, "TAUp ExceptionlessAbort").stderr
    assert "TAUp instead of GSIsUp" in front_end(tmp_path, "TAUp TAUp TAUp TAUp").stderr


NODE = "from dragon.launcher import network_config; import dragon.infrastructure.node_desc as n; print(n.gethostname())"


@pytest.mark.parametrize(("slurms", "said"), [("q1-dy-c5-1", "q1-dy-c5-1"), ("", os.uname().nodename)])
def test_a_node_says_slurms_name_for_it(tmp_path: Path, slurms: str, said: str) -> None:
    """By those names Dragon's launcher asks for a step; in clouds they are not the hosts' own."""
    command = tmp_path / "dragon-network-config-launch-helper"
    command.write_text(NODE)
    env = {**os.environ, "PYTHONPATH": dragon._PATCHES, "SLURMD_NODENAME": slurms}
    words = [sys.executable, str(command)]
    assert subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip() == said


# Says where a node's agent would listen that is told of two nodes as Local Services tell it.
AGENT = """
import dragon.transport.tcp.__main__
from dragon.infrastructure import messages as said
from dragon.infrastructure.node_desc import NodeDescriptor
nodes = {str(n): NodeDescriptor(name=f"n{n}", host_id=n, ip_addrs=[f"10.0.0.{n}"]) for n in (1, 2)}
sent = said.LAChannelsInfo(0, nodes, "", 1, port=12345)
told = said.LAChannelsInfo.from_sdict({**sent.get_sdict(), "_tc": None})
print(*[node.ip_addrs[0] for node in told.nodes_desc.values()])
"""


@pytest.mark.parametrize(("path", "said"), [
    (dragon._PATCHES, "10.0.0.1:12345 10.0.0.2:12345\n"),
    ("", "10.0.0.1 10.0.0.2\n"),  # when this fails, Dragon has been mended and `listen_where_told` can go
])  # fmt: skip
def test_agents_listen_where_they_are_told(tmp_path: Path, path: str, said: str) -> None:
    command = tmp_path / "dragon-tcp"
    command.write_text(AGENT)
    words = [sys.executable, str(command)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.stdout == said, done.stderr


def test_the_one_behind_is_run_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('behind')")
    path = os.pathsep.join([dragon._PATCHES, str(tmp_path)])
    assert front_end(tmp_path, "TAUp TAUp TAUp GSIsUp", path).stdout == "behind\n" + ALL
