from typing import Any

from rhapsody_parsl.pilot.lane import Lane
from testing.nodes import make_spec, make_task


def lane(window: int = 0, **policy: Any) -> Lane:
    return Lane(make_spec(**policy), "local", window, 60.0)


def test_first_come_first_served_and_put_back_stands_in_front() -> None:
    line, spec = lane(), make_spec()
    line.put([make_task(n, spec) for n in range(4)], 1.0)
    taken = line.take(2)
    line.put_back(taken, 5.0)
    assert [task.id for task in line.take(9)] == [0, 1, 2, 3]
    assert len(line) == 0


def test_put_back_does_not_lose_the_age() -> None:
    line, spec = lane(), make_spec()
    line.put([make_task(n, spec) for n in range(2)], 1.0)
    line.put_back(line.take(1), 9.0)
    assert line.waited(10.0) == 9.0


def test_a_step_of_priority_weighs_as_much_as_the_ageing() -> None:
    urgent, patient, spec = lane(priority=0), lane(priority=1), make_spec()
    patient.put([make_task(1, spec)], 0.0)
    urgent.put([make_task(2, spec)], 59.0)
    assert urgent.order < patient.order
    urgent.take(1)
    urgent.put([make_task(3, spec)], 61.0)
    assert patient.order < urgent.order


def test_short_tasks_are_given_ahead_and_long_ones_not() -> None:
    line = lane()
    assert line.depth == 1, "nothing is known yet"
    line.learn(0.0001)
    assert line.depth > 8
    line.learn(3.0)
    assert line.depth == 1, "a long one counts at once"
    for _ in range(100):
        line.learn(0.0)
    assert line.depth > 8


def test_a_walltime_is_never_spent_waiting_behind_others() -> None:
    line = lane(walltime=5)
    line.learn(0.0001)
    assert line.depth == 1


def test_remove_takes_from_anywhere() -> None:
    line, spec = lane(), make_spec()
    line.put([make_task(n, spec) for n in range(3)], 1.0)
    assert line.remove(1)
    assert not line.remove(1)
    assert [task.id for task in line.take(9)] == [0, 2]
