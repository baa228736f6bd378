import pytest

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.scheduling.fifo import Fifo
from testing.nodes import make_node, make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime


def make_backlog(ledger: Ledger | None = None) -> Backlog:
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    return Backlog(ledger or Ledger(make_nodes(2, cores=1)), runtimes, "local", {}, scheduling=Fifo())


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
        backlog.put(make_task(0, make_spec(near=f"data {number}")), 0.0)
        backlog.take()
    assert backlog.is_empty()
    assert use_up(backlog, "first") is not lane


def test_apps_have_lanes_of_their_own_until_there_are_many_of_a_kind() -> None:
    backlog = make_backlog()
    lanes = [use_up(backlog, f"app {number}") for number in range(100)]
    assert len(set(lanes)) == 65
    assert lanes[70].mixed
    assert not lanes[63].mixed
    assert use_up(backlog, "app 7") is lanes[7]
    other = backlog.put(make_task(0, make_spec("app 99", cores=0)), 0.0)
    assert not other.mixed, "of another kind there are few"


def test_labels_of_the_same_nodes_are_one() -> None:
    nodes = [make_node("n0", cores=1, labels=("all", "a", "b")), make_node("n1", cores=1, labels=("all", "c"))]
    backlog = make_backlog(Ledger(nodes))
    lanes = [
        backlog.put(make_task(number, make_spec(labels=labels)), 0.0)
        for number, labels in enumerate(([], ["all"], ["a"], ["b", "all"], ["a", "b"], ["c"]))
    ]
    assert lanes[0] is lanes[1]
    assert lanes[2] is lanes[3] is lanes[4]
    assert len(set(lanes)) == 3
    for labels in (["a", "c"], ["a", "nowhere"]):
        with pytest.raises(UnroutableTask, match=f"no node carries the labels {', '.join(labels)}"):
            backlog.put(make_task(9, make_spec(labels=labels)), 0.0)


def serve(backlog: Backlog, room: int = 999) -> list[int]:
    """Serve whoever has a turn while there is room; return the tasks in order."""
    served: list[int] = []
    for lane in backlog.in_order({"local"}):
        served += [task.id for task in lane.take(room - len(served))]
    return served


def test_lanes_come_by_priority_and_age_and_empty_ones_do_not() -> None:
    backlog = make_backlog()
    backlog.put(make_task(2, make_spec("early")), 0.0)
    backlog.put(make_task(4, make_spec("gone")), 0.0).take(1)
    backlog.put(make_task(1, make_spec("late")), 1.0)
    backlog.put(make_task(3, make_spec("urgent", priority=-1)), 2.0)
    assert len(backlog) == 3
    assert serve(backlog) == [3, 2, 1]
    assert backlog.is_empty()


def test_tasks_of_one_app_wait_in_one_lane_whatever_their_priority() -> None:
    backlog = make_backlog()
    lanes = {backlog.put(make_task(n, make_spec(priority=p)), 0.0) for n, p in enumerate((3, 1, 2, 1))}
    assert len(lanes) == 1
    assert serve(backlog, room=3) == [1, 3, 2]
    backlog.put_back(lanes.pop(), [make_task(3, make_spec(priority=1))], 9.0)
    assert serve(backlog) == [3, 0]


def test_where_one_lane_finds_no_room_the_others_of_its_shape_are_passed_over() -> None:
    backlog = make_backlog()
    for number in range(50):
        backlog.put(make_task(number, make_spec(f"app {number}")), 0.0)
        backlog.put(make_task(50 + number, make_spec(f"app {number}", placement="spread")), 0.5)
    turns = list(backlog.in_order({"local"}))
    assert [lane.spec.policy.placement for lane in turns] == ["pack", "spread"]
    assert list(backlog.in_order({"mpi"})) == []
    assert len(list(backlog.in_order({"local"}))) == 2, "whoever is late has one turn too"
    assert serve(backlog) == list(range(100))


def test_who_needs_more_cores_than_are_free_has_no_turn_unless_late() -> None:
    ledger = Ledger(make_nodes(2, cores=4))
    backlog = make_backlog(ledger)
    assert ledger.acquire("x", [("n0", make_spec(cores=3).resources.single())])
    assert ledger.acquire("x", [("n1", make_spec(cores=2).resources.single())])
    for number, cores in enumerate((4, 3, 2, 1)):
        backlog.put(make_task(number, make_spec(cores=cores)), float(number))
    backlog.put(make_task(9, make_spec(runtime="mpi", num_ranks=4)), 3.5)
    assert [lane.spec.resources.cores for lane in backlog.in_order({"local"})] == [2, 1]
    late = backlog.lateness.first(3.1, {"local", "mpi"})
    assert late is not None
    assert [lane.spec.resources.cores for lane in backlog.in_order({"local", "mpi"}, [late])] == [4, 2, 1]
    assert backlog.lateness.next(3.1) == [pytest.approx(0.91)]
    node = ledger.accounts["n0"]
    assert backlog.waits_before(1.5, node, Part(2), ready={"local"})
    assert not backlog.waits_before(1.5, node, Part(1), ready={"local"})
    assert not backlog.waits_before(1.5, node, Part(3), ready={"mpi"})


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
    assert lane not in backlog.in_order({"local"})
    backlog.put_back(lane, taken[:1], 5.0)
    assert lane.order == 5.0
    backlog.put(taken[2], 5.0)
    assert [task.id for task in lane.take(9)] == [0, 2]
    assert len(backlog) == 3


def test_the_requests_of_a_service_are_counted_while_they_wait() -> None:
    backlog = Backlog(Ledger(make_nodes(1)), {"vllm": FakeRuntime()}, "vllm", {"vllm": 2}, scheduling=Fifo())
    for number, service in enumerate(("a", "b", "a")):
        backlog.put(make_task(number, make_spec(runtime="vllm", service=service)), 0.0)
    backlog.settle()
    assert [backlog.requests(service) for service in "abc"] == [2, 1, 0]
    backlog.take()
    assert backlog.requests("a") == 0
