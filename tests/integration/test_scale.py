"""A hundred nodes on this machine: the real driver, pilot and agents, over workers that are objects."""

import pytest

from benchmarks.library.emulation import phases
from benchmarks.library.emulation.block import emulated
from rhapsody_parsl.agents.tree import VARIABLE

NODES, CORES = 100, 16


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("fan_out", [0, 10], ids=["star", "tree"])
def test_a_hundred_nodes_lose_what_ran_on_the_killed_and_nothing_else(
    fan_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first node is killed, by which nine others speak in a tree; the next five are cut off."""
    monkeypatch.setenv(VARIABLE, str(fan_out))
    with emulated(NODES, CORES, heartbeat_period=1, heartbeat_threshold=20) as block:
        assert block.descriptors < (NODES // fan_out if fan_out else NODES) + 60  # a connection of each
        idle = block.resident
        assert idle < (60 + 0.2 * NODES) * 1e6
        assert phases.lone(block, 20)["lone_ms"] < 1000
        phases.fill(block, CORES)  # raises when a task has no answer
        assert block.resident - idle < NODES * CORES * 10_000  # bytes of a worker and of its task
        phases.mixed(block, 500, CORES)
        numbers = phases.through_faults(block, CORES, killed=1, cut=5, seconds=3.0, mean=0.5)
        # What ran on the killed host, and what had been put behind that: nobody is left to tell that it had not begun.
        # The tasks before were short, so that several may be there. That nothing is lost elsewhere is checked there.
        assert CORES <= numbers["lost"] <= 8 * CORES
