from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.errors import NodeLost
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import Task
from testing.nodes import make_spec, make_task


def lane(**policy: Any) -> Lane:
    spec = make_spec(**policy)
    return Lane(spec, "local", Shape(spec, "local", 0, Pool()))


def put(line: Lane, *numbers: int, now: float, priority: float = 0.0) -> list[Task]:
    tasks = [make_task(number, line.spec) for number in numbers]
    for task in tasks:
        line.join(task, priority * 60.0 + now, now)
    return tasks


def put_back(line: Lane, tasks: list[Task], now: float) -> None:
    arrival = now if line.oldest is None else min(now, line.oldest)
    line.put_back([(task, arrival) for task in tasks], arrival)


def waited(line: Lane, now: float) -> float:
    assert line.oldest is not None
    return now - line.oldest


def test_first_come_first_served_and_put_back_stands_in_front() -> None:
    line = lane()
    put(line, *range(4), now=1.0)
    taken = line.take(2)
    put_back(line, taken, 5.0)
    assert [task.id for task in line.take(9)] == [0, 1, 2, 3]
    assert len(line) == 0
    assert line.order is None


def test_put_back_does_not_lose_the_age() -> None:
    line = lane()
    put(line, 0, 1, now=1.0)
    put_back(line, line.take(1), 9.0)
    assert waited(line, 10.0) == 9.0


def test_the_oldest_is_known_whoever_is_before_it() -> None:
    line = lane()
    put(line, 1, now=1.0, priority=5)
    for number in range(2, 500):
        put(line, number, now=float(number), priority=-number)
    assert waited(line, 500.0) == 499.0
    assert [task.id for task in line.take(3)] == [499, 498, 497]
    line.remove(1)
    assert waited(line, 500.0) == 498.0
    line.remove(2)
    assert waited(line, 500.0) == 497.0
    assert len(line.take(999)) == 494


def test_who_was_taken_from_among_the_most_urgent_is_not_the_oldest() -> None:
    line = lane()
    for number in range(3):
        line.join(make_task(number, line.spec), -float(number), float(number))
    assert [task.id for task in line.take_if(lambda task: task.id == 1)] == [1]
    line.remove(0)
    assert line.oldest == 2.0


def test_the_oldest_is_known_when_the_most_urgent_come_among_others() -> None:
    line = lane()
    for number, key in enumerate([0.0, -1.0, -0.5, -2.0, -1.5]):
        line.join(make_task(number, line.spec), key, float(number))
    for number in range(4):
        assert line.oldest == number
        line.remove(number)


changes = st.lists(
    st.tuples(st.sampled_from(["join", "join in front"]), st.integers(-4, 4))
    | st.tuples(st.just("take"), st.integers(1, 3))
    | st.tuples(st.sampled_from(["remove", "take some", "put back"]), st.integers(0, 99)),
    max_size=60,
)


@given(changes)
def test_a_queue_is_what_a_sorted_list_would_be(steps: list[tuple[str, int]]) -> None:
    line, waiting = lane(), list[tuple[float, int, float]]()  # key, number, arrival
    taken: list[Task] = []
    for number, (what, value) in enumerate(steps):
        now = float(number // 3)
        if what in ("join", "join in front"):
            key = float(value) if what == "join" else -9.0 - number
            line.join(make_task(number, line.spec), key, now)
            waiting.append((key, number, now))
        elif what == "take":
            some, waiting = line.take(value), sorted(waiting)
            assert [task.id for task in some] == [each[1] for each in waiting[:value]]
            waiting, taken = waiting[value:], taken + some
        elif what == "remove" and waiting:
            line.remove(waiting.pop(value % len(waiting))[1])
        elif what == "take some":
            some = line.take_if(lambda task, value=value: task.id % 3 == value % 3)  # type: ignore[misc]  # bound
            assert {task.id for task in some} == {each[1] for each in waiting if each[1] % 3 == value % 3}
            waiting = [each for each in waiting if each[1] % 3 != value % 3]
        elif what == "put back" and taken:
            task, arrival = taken.pop(), now if line.oldest is None else min(now, line.oldest)
            line.put_back([(task, -99.0 - number)], arrival)  # in front of all
            waiting.append((-99.0 - number, task.id, arrival))
        assert len(line) == len(waiting)
        assert line.order == min((each[0] for each in waiting), default=None)
        assert line.oldest == min((each[2] for each in waiting), default=None)
        assert line.first == (make_task(min(waiting)[1], line.spec) if waiting else None)


def test_short_tasks_are_given_ahead_and_long_ones_not() -> None:
    line = lane()
    assert line.prefetch == 1, "nothing is known yet"
    line.durations.learn(0.0001)
    assert line.prefetch > 8
    line.durations.learn(3.0)
    assert line.prefetch == 1, "a long one counts at once"
    for _ in range(100):
        line.durations.learn(0.0)
    assert line.prefetch > 8


def test_remove_takes_from_anywhere() -> None:
    line = lane()
    put(line, *range(3), now=1.0)
    line.remove(1)
    assert (len(line), line.first) == (2, make_task(0, line.spec))
    put(line, 1, now=2.0)
    assert [task.id for task in line.take(9)] == [0, 2, 1]


def test_to_remove_many_leaves_nothing_of_them_behind() -> None:
    line = lane()
    put(line, *range(1000), now=1.0)
    put(line, *range(1000, 2000), now=2.0, priority=-9)
    for number in range(1, 2000):
        line.remove(number)
        assert len(line) == 2000 - number
    assert len(list(line.entries())) == 1
    assert [task.id for task in line.take(9)] == [0]
    assert line.order is None


def test_a_run_knows_the_state_of_each_of_its_tasks() -> None:
    line = lane()
    active = ActiveRun(Run(1, line.spec), line, None, 0.0)
    active.put([make_task(number, line.spec) for number in range(3)])
    assert [active.state_of(number) for number in range(3)] == ["running", "prefetched", "prefetched"]
    assert active.recall(1.0) == [1, 2]
    assert [active.state_of(number) for number in range(3)] == ["running", "recalled", "recalled"]
    active.to_end(0, "cancelled")
    assert [active.state_of(number) for number in range(3)] == ["stopping", "recalled", "recalled"]
    active.lost_with = NodeLost("n", "power")
    assert [active.state_of(number) for number in range(3)] == ["stopping"] * 3


def test_a_service_has_all_its_requests_at_once() -> None:
    spec = make_spec(service="llm")
    line = Lane(spec, "vllm", Shape(spec, "vllm", 8, Pool()))
    active = ActiveRun(Run(1, spec), line, None, 0.0)
    active.put([make_task(number, spec) for number in range(3)])
    assert [active.state_of(number) for number in range(3)] == ["running"] * 3


def test_those_that_run_side_by_side_fill_a_run_and_are_not_asked_back() -> None:
    line = lane(concurrency=3)
    tasks = put(line, *range(5), now=0.0)
    active = ActiveRun(Run(1, line.spec), line, None, 0.0)
    assert active.room(cores=64) == 3
    active.put(tasks[:3])
    assert active.room(cores=64) == 0
    assert [active.state_of(task.id) for task in tasks[:3]] == ["running"] * 3
    assert (active.recall_at, active.recall(1.0)) == (None, [])
    active.pop(1)
    assert active.room(cores=64) == 1, "a place is filled at once"
