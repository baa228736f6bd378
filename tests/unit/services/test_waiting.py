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
