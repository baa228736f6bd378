"""Walltimes are measured without a look at tasks that have ended."""

from testing.nodes import make_nodes, make_spec
from testing.simulation import Simulation


def test_the_walltime_of_a_task_that_has_ended_wakes_nobody() -> None:
    block = Simulation(make_nodes(1))
    block.submit(make_spec(walltime=5), 0, 1)
    block.submit(make_spec("other"), 2, when=2.0)
    block.seconds = {1: 3.0, 2: 100.0}
    block.run(until=2.0)
    assert block.core.next_tick(2.0) == 3.5, "the task that runs still began at 0.5 s"
    block.run(until=4.0)
    assert block.core.running == 1
    assert block.core.next_tick(4.0) is None
