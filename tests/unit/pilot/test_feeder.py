import pytest

from rhapsody_parsl.pilot.instructions import Feed
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation


def test_what_comes_in_one_turn_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty gangs end and sixty tasks come: one look at all who wait, and it is as if they had come together."""
    block = Simulation(make_nodes(80, cores=4), {"mpi": FakeRuntime()})
    block.submit(make_spec("gang", num_nodes=2), *range(40))
    block.submit(make_spec("wide", num_nodes=40), 40, when=0.1)
    block.run(until=1.0)
    assert len(block.started) == 40
    looks, look = list[float](), block.core._feeder.schedule

    def count(now: float) -> None:
        looks.append(now)
        look(now)

    monkeypatch.setattr(block.core._feeder, "schedule", count)
    for active in list(block.core._runs):
        block.core.done(active.run.id, [Result(task, RESULT, b"") for task in active.numbers()], 2.0)
        assert not any(isinstance(each, Feed) for each in block.core.take(decided=True))
    for number in range(41, 101):
        block.core.submit([make_task(number, make_spec(cores=4))], 2.0)
        block.core.take(decided=True)
    assert not looks
    fed = [task.id for each in block.core.take() if isinstance(each, Feed) for task in each.tasks]
    assert (fed, len(looks)) == ([*range(40, 81)], 1)
