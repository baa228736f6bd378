import sys

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.pilot.in_flight import InFlight
from rhapsody_parsl.wire.messages import Task


def make(number: int) -> Task:
    return Task(number, b"", b"")


@given(st.lists(st.integers(0, 5)))
def test_it_is_like_a_dict_in_the_order_given(steps: list[int]) -> None:
    """A number that is not here is given, alone or with another one; one that is here is taken."""
    tasks, known = InFlight(), dict[int, Task]()
    for number in steps:
        if number in known:
            assert tasks.take(number) is known.pop(number)
        else:
            new = [task for task in (make(number), make(number + 10)) if task.id not in known][: 1 + number % 2]
            tasks.add(new)
            known.update((task.id, task) for task in new)
        assert tasks.has == len(known)
        assert tasks.tasks() == list(known.values())
        assert tasks.numbers() == list(known)
        assert tasks.first is next(iter(known.values()), None)
        assert [tasks.task(other) for other in range(16)] == [known.get(other) for other in range(16)]
        assert tasks.take(99) is None


def test_a_single_task_takes_no_room_but_its_place() -> None:
    tasks = InFlight()
    tasks.add([make(1)])
    held = [getattr(tasks, name) for name in InFlight.__slots__]
    assert not [thing for thing in held if isinstance(thing, dict | list)]
    tasks.add([make(2)])
    tasks.take(1)
    tasks.take(2)
    assert sum(sys.getsizeof(getattr(tasks, name)) for name in ("_several", "_single")) == 2 * sys.getsizeof(None)
