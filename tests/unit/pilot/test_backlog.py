import pytest

from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime


def make_backlog(ledger: Ledger | None = None) -> Backlog:
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    return Backlog(ledger or Ledger(make_nodes(2, cores=1)), runtimes, "local", {}, 60.0)


def use_up(backlog: Backlog, name: str) -> Lane:
    lane = backlog.put(make_task(0, make_spec(name)), 0.0)
    backlog.take()
    assert backlog.is_empty()
    return lane


def test_an_empty_lane_is_remembered_and_one_of_long_ago_is_not() -> None:
    backlog = make_backlog()
    lane = use_up(backlog, "first")
    assert use_up(backlog, "first") is lane
    for number in range(1000):
        use_up(backlog, f"app {number}")
    assert use_up(backlog, "first") is not lane


def test_lanes_come_by_priority_and_age_and_empty_ones_do_not() -> None:
    backlog = make_backlog()
    late = backlog.put(make_task(1, make_spec("late")), 1.0)
    early = backlog.put(make_task(2, make_spec("early")), 0.0)
    urgent = backlog.put(make_task(3, make_spec("urgent", priority=-1)), 2.0)
    backlog.put(make_task(4, make_spec("gone")), 0.0).take(1)
    assert backlog.in_order() == [urgent, early, late]
    assert len(backlog) == 3


def test_what_is_refused_does_not_wait() -> None:
    ledger = Ledger(make_nodes(2, cores=1))
    backlog = make_backlog(ledger)
    with pytest.raises(UnroutableTask):
        backlog.put(make_task(1, make_spec(cores=2)), 0.0)
    ledger.set_away("n0", away=True)
    with pytest.raises(NodeLost, match="what is left"):
        backlog.put(make_task(2, make_spec(runtime="mpi", num_ranks=2)), 0.0)
    assert backlog.is_empty()


def test_some_lanes_are_taken_and_what_is_put_back_is_first() -> None:
    backlog = make_backlog()
    lane, *_ = [backlog.put(make_task(number, make_spec("a")), 0.0) for number in range(3)]
    for number in range(10, 13):
        backlog.put(make_task(number, make_spec("b")), 0.0)
    taken = backlog.take(lambda other: other is lane)
    assert [task.id for task in taken] == [0, 1, 2]
    assert lane not in backlog.in_order()
    backlog.put_back(lane, taken[:1], 5.0)
    assert lane in backlog.in_order()
    backlog.put(taken[2], 5.0)
    assert [task.id for task in lane.take(9)] == [0, 2]
    assert len(backlog) == 3
