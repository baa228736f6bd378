import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.services.waiting import Waiting


def taken(made: Waiting[str]) -> list[str]:
    """Return all, in the order in which they are served."""
    out = []
    while key := made.first():
        assert made.take()[0] == key
        out.append(key)
    return out


def test_the_lowest_priority_is_first_and_of_equal_ones_who_came_first() -> None:
    made: Waiting[str] = Waiting()
    for number, (key, priority) in enumerate([("a", 0), ("b", -1), ("c", 0), ("d", 2), ("e", -1)]):
        made.put(key, priority, number)
    assert list(made) == ["b", "e", "a", "c", "d"]
    made.put("a", -9, 9)
    assert len(made) == 5, "it waits already"
    assert taken(made) == ["b", "e", "a", "c", "d"]
    assert not made


def test_what_comes_back_has_its_old_place() -> None:
    made: Waiting[str] = Waiting()
    for number, key in enumerate("abc"):
        made.put(key, 0, number)
    made.remove("b")
    made.remove("b")
    made.put("b", 0, 1)
    assert taken(made) == ["a", "b", "c"]


def test_nothing_waits_when_all_were_given_up() -> None:
    made: Waiting[str] = Waiting()
    made.put("a", 0, 0)
    made.clear()
    assert made.first() is None
    made.put("a", 0, 0)
    assert taken(made) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("ptrc"), st.integers(0, 9), st.integers(-2, 2))))
def test_it_is_like_a_list_that_is_sorted(steps: list[tuple[str, int, int]]) -> None:
    made, known = Waiting[int](), dict[int, tuple[int, int]]()
    for number, (step, key, priority) in enumerate(steps):
        order = sorted(known, key=lambda key: known[key])
        if step == "p":
            made.put(key, priority, number)
            known.setdefault(key, (priority, number))
        elif step == "t" and known:
            assert made.take() == (order[0], known.pop(order[0])[0])
        elif step == "t":
            with pytest.raises(IndexError):
                made.take()
        elif step == "r":
            made.remove(key)
            known.pop(key, None)
        elif key == 0:
            made.clear()
            known.clear()
        order = sorted(known, key=lambda key: known[key])
        assert list(made) == order
        assert len(made) == len(order)
        assert made.first() == next(iter(order), None)


def test_those_that_were_taken_do_not_stay() -> None:
    made: Waiting[int] = Waiting()
    for number in range(1000):
        made.put(number, 0, number)
        if number % 2:
            made.take()
    assert len(made._order) <= 2 * len(made)
