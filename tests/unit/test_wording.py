import pickle
from typing import Any

import pytest

from rhapsody_parsl.wording import Shown, clip, nearest, shown, tellable
from testing.hostile import VALUES, OfHostileClass, failing

RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(("value", "text"), [
    (4, "4"), ("a b", "'a b'"), (None, "None"), ([1, "a"], "[1, 'a']"), ({"a": (1,)}, "{'a': (1,)}"),
    (set(), "set()"), ({3}, "{3}"), (range(3), "<range object>"), (int, "<class 'int'>"),
    (10**5000, "<an integer of 16610 bits>"), ("\ud800", r"'\ud800'"), (RECURSIVE, "[[[[...]]]]"),
    (["a"] * 20, f"[{', '.join(['a'.__repr__()] * 12)}, ...]"), ("x" * 900, f"'{'x' * 196}..."),
    (OfHostileClass, "<class 'OfHostileClass'>"), (OfHostileClass(), "<OfHostileClass object>"),
    (failing(str)("abc"), "<FailingStr object>"),
], ids=range(17))  # fmt: skip
def test_values_are_shown_as_repr_would_but_bounded(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_whatever_it_is_it_can_be_told_and_sent(number: int) -> None:
    assert len(shown(VALUES[number]).encode()) <= 800
    kept = tellable(VALUES[number])
    assert pickle.dumps(kept)
    assert len(repr(kept)) < 4000


def test_small_plain_values_are_kept() -> None:
    for value in (1, "a", [1, 2], {"a": 1}, None, 0.5, (1, "b")):
        assert tellable(value) is value
    assert tellable([{}]) == Shown("[{}]")


def test_texts_are_cut_and_can_be_encoded() -> None:
    assert clip("abcdef", 5) == "ab..."
    assert clip("\ud800") == "\\ud800"


@pytest.mark.parametrize(("word", "hint"), [
    ("cors", "Did you mean 'cores'?"), ("xyz", ""), (7, ""), ("cores" * 100_000, ""),
    (failing(str)("cors"), "Did you mean 'cores'?"),
], ids=range(5))  # fmt: skip
def test_the_nearest_name(word: Any, hint: str) -> None:
    assert nearest(word, {"gpus", "cores"}) == hint
