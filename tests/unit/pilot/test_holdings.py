"""Who needs which values of a block's own: nothing goes that somebody holds, and nothing stays that nobody does."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.holdings import DRIVER, Holdings
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from testing.nodes import make_spec, make_task

KEYS, HOLDERS = st.sampled_from("ab"), st.sampled_from([DRIVER, 7, "checkpoint"])
EVENTS = st.lists(
    st.tuples(st.sampled_from(["hold", "free", "over", "rest", "pin", "unpin"]), HOLDERS, KEYS), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_a_value_goes_once_and_exactly_when_nobody_needs_it(events: list[tuple[str, int | str, str]]) -> None:
    holdings, handles, pinned, there = Holdings(), Counter[tuple[int | str, str]](), set[str](), set[str]()
    for what, holder, key in events:
        match what:
            case "hold":
                holdings.hold(holder, key, 1)
                handles[holder, key] += 1
                there.add(key)
            case "free":
                holdings.free(holder, {key: 1})
                handles[holder, key] -= handles[holder, key] > 0
            case "over" | "rest":
                kept = [(key, 1)] if what == "rest" else []
                holdings.rest(holder, kept) if kept else holdings.over(holder)
                handles = Counter({each: n for each, n in handles.items() if each[0] != holder})
                if kept:
                    handles[holder, key] = 1
                    there.add(key)
            case _:
                holdings.pin(key, what == "pin")
                pinned = pinned | ({key} & there) if what == "pin" else pinned - {key}
        needed = {key for (_, key), count in handles.items() if count}
        assert set(holdings.take_gone()) == there - needed - pinned
        there &= needed | pinned
        assert there == {key for key in "ab" if key in holdings}


def carrying(task: int, *keys: str) -> Result:
    return Result(task, RESULT, b"", gives=tuple((key, 10) for key in keys))


def taking(number: int, *keys: str) -> Task:
    task = make_task(number, make_spec())
    return Task(task.id, task.spec, task.payload, takes=tuple((key, 10) for key in keys))


def test_a_handle_goes_from_a_task_to_its_parent_and_to_the_driver() -> None:
    family = Family()
    [child] = family.adopt(7, "p", [taking(1)], keep=False)
    family.holdings.hold(child.id, "k")
    family.given(carrying(child.id, "k"))
    family.over(child.id)
    assert family.sort([carrying(child.id, "k")]) == []
    assert family.holdings.holds(7)
    family.given(carrying(7, "k"))
    family.over(7)
    assert (family.holdings.take_gone(), "k" in family.holdings) == ([], True)
    family.holdings.free(DRIVER, {"k": 1})
    assert family.holdings.take_gone() == ["k"]


def test_what_a_task_takes_stays_until_it_has_ended_also_when_it_outlives_its_parent() -> None:
    family = Family()
    family.holdings.hold(7, "k")
    [kept] = family.adopt(7, "p", [taking(1, "k")], keep=True)
    family.over(7)
    assert family.holdings.take_gone() == []
    family.given(carrying(kept.id, "left"))
    family.sort([carrying(kept.id)])
    assert family.holdings.take_gone() == ["left", "k"], "nobody reads what it gives"


def test_orphans_and_cancelled_tasks_hold_nothing() -> None:
    family = Family()
    family.holdings.hold(7, "k")
    adopted = family.adopt(7, "p", [taking(1, "k"), taking(2, "k")], keep=False)
    family.drop("p", [1])
    family.over(7)
    assert family.take_orphans() == [adopted[1].id]
    assert family.holdings.take_gone() == ["k"]
    family.unread_values(carrying(adopted[1].id, "late"))
    assert family.holdings.take_gone() == ["late"]
    assert not family.holdings


def test_what_was_given_again_meanwhile_counts_on() -> None:
    holdings = Holdings()
    holdings.hold(DRIVER, "k")
    holdings.hold(DRIVER, "k")
    holdings.free(DRIVER, {"k": 1})
    assert holdings.take_gone() == []
    holdings.free(DRIVER, {"k": 5})
    assert holdings.take_gone() == ["k"]


def test_a_deleted_value_goes_whoever_needs_it_and_is_labelled_no_more() -> None:
    holdings = Holdings()
    holdings.hold(7, "k", 10, "model")
    assert holdings.labelled("model") is not None
    holdings.delete("k")
    holdings.over(7)
    assert holdings.take_gone() == ["k"]
    assert holdings.labelled("model") is None
