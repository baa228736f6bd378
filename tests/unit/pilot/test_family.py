from rhapsody_parsl.pilot.family import FIRST, Family
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.nodes import make_spec, make_task

SPEC = make_spec()


def adopted(family: Family, parent: int, *numbers: int, peer: str = "p", keep: bool = False) -> list[int]:
    tasks = family.adopt(parent, peer, [make_task(number, SPEC) for number in numbers], keep)
    return [task.id for task in tasks]


def result(number: int) -> Result:
    return Result(number, RESULT, b"")


def is_empty(family: Family) -> bool:
    return not (family.parents or family.orphans or family._children or family._numbers or family._answers)


def test_answers_go_to_the_process_by_its_own_numbers_and_the_rest_to_the_driver() -> None:
    family = Family()
    first, second = adopted(family, 7, 1, 2)
    (other,) = adopted(family, 8, 1, peer="q")
    assert min(first, second, other) >= FIRST
    assert family.sort([result(first), result(7), result(other), result(second)]) == [result(7)]
    assert family.take_answers() == {"p": [result(1), result(2)], "q": [result(1)]}
    assert is_empty(family)


def test_what_a_task_leaves_ends_with_it_unless_it_is_to_live_on() -> None:
    family = Family()
    gone, kept = adopted(family, 7, 1), adopted(family, 7, 2, keep=True)
    family.over(7)
    assert family.take_orphans() == gone
    assert family.sort([result(gone[0]), result(kept[0])]) == []
    assert family.take_answers() == {}, "nobody is there"
    assert family.take_unread() == [result(gone[0]), result(kept[0])]
    assert is_empty(family)


def test_depth_parent_and_number_are_known_until_the_end() -> None:
    family = Family()
    (child,) = adopted(family, 7, 1)
    (grandchild,) = adopted(family, child, 1, peer="q")
    assert (family.depth_of(7), family.depth_of(child), family.depth_of(grandchild)) == (0, 1, 2)
    assert (family.parent_of(grandchild), family.parent_of(child), family.parent_of(7)) == (child, 7, 0)
    family.over(7)
    assert family.take_orphans() == [child]
    family.over(child)
    assert family.take_orphans() == [grandchild]
    assert is_empty(family)


def test_a_process_drops_what_it_wants_no_more_once() -> None:
    family = Family()
    (child,) = adopted(family, 7, 1)
    assert family.drop("q", [1]) == [], "another one's"
    assert family.drop("p", [1, 1, 5]) == [child]
    assert is_empty(family)


def test_who_was_told_past_us_is_not_told_again() -> None:
    family = Family()
    first, second = adopted(family, 7, 1, 2)
    assert family.sort([Result(first, RESULT, b"", told=3), result(second)]) == []
    assert family.take_answers() == {"p": [result(2)]}
    assert is_empty(family)
