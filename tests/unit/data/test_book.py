"""Who needs which value: nothing stays that nobody needs, and nothing goes that somebody does."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.data.book import Book

KEYS = st.sampled_from("abc")
EVENTS = st.lists(st.tuples(st.sampled_from(["hold", "release", "pin", "unpin", "delete"]), KEYS), max_size=60)


@given(EVENTS)
def test_a_value_is_there_exactly_while_it_is_needed(events: list[tuple[str, str]]) -> None:
    book, handles, pinned, there = Book(), Counter[str](), set[str](), set[str]()
    for what, key in events:
        went = False
        match what:
            case "hold":
                book.hold(key, 10)
                handles[key] += 1
                there.add(key)
            case "release":
                last = handles[key] == 1
                handles[key] -= handles[key] > 0
                went = book.release(key)
                assert went == (last and key not in pinned)
            case "pin" | "unpin":
                assert book.pin(key, what == "pin") == (key in there)
                pinned = pinned | {key} if what == "pin" and key in there else pinned - {key}
            case _:
                went = book.delete(key)
                assert went == (key in there)
        if went:
            there.discard(key)
            pinned.discard(key)
            handles[key] = 0
        assert {entry.key for entry in book} == there
        assert book.size == 10 * len(book) == 10 * len(there)


def test_a_label_is_free_again_when_its_value_goes() -> None:
    book = Book()
    book.hold("a", 1, "model")
    entry = book.labelled("model")
    assert entry is not None
    assert (entry.key, entry.label, entry.handles) == ("a", "model", 1)
    assert book.release("a")
    assert book.labelled("model") is None
    book.hold("b", 1, "model")
    assert not book.delete("a")
    assert (found := book.labelled("model"))
    assert found.key == "b"


def test_a_handle_of_a_deleted_value_releases_nothing() -> None:
    book = Book()
    book.hold("a", 1)
    assert "a" in book
    assert book.delete("a")
    assert not book.release("a")
    assert book.get("a") is None
