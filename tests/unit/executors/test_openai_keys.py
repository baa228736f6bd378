from typing import Any

import pytest

from rhapsody_parsl.errors import InvalidTask, RhapsodyError
from rhapsody_parsl.executors.openai_keys import OpenAIKeys
from rhapsody_parsl.wire.door import DoorKey, hash_of


class Told:
    def __init__(self) -> None:
        self.last: list[DoorKey] = []

    def take_keys(self, keys: list[DoorKey]) -> None:
        self.last = keys


def test_a_key_is_shown_once_and_told_as_a_hash_with_its_limits() -> None:
    keys, link = OpenAIKeys(), Told()
    early = keys.add("early")
    keys.begin(link)  # type: ignore[arg-type]  # all that is needed of it
    assert link.last == [DoorKey("early", hash_of(early))]
    key = keys.add("ann", requests_per_minute=60, concurrency=4)
    assert link.last[1] == DoorKey("ann", hash_of(key), 60, 4)
    assert key != early
    assert key not in str(vars(keys))
    assert list(keys) == ["early", "ann"]
    keys.remove("early")
    assert [one.name for one in link.last] == list(keys) == ["ann"]
    assert keys.add("early") != early


@pytest.mark.parametrize(
    ("name", "limits", "sentence"),
    [
        ("a b", {}, "letters, digits"), ("", {}, "letters, digits"), (3, {}, "letters, digits"),
        ("a", {"concurrency": -1}, "it must be 0 or more"), ("a", {"requests_per_minute": "9"}, "a number is needed"),
    ],
)  # fmt: skip
def test_what_is_no_name_or_no_limit_is_refused(name: Any, limits: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidTask, match=sentence):
        OpenAIKeys().add(name, **limits)


def test_a_name_has_one_key() -> None:
    keys = OpenAIKeys()
    keys.add("ann")
    with pytest.raises(RhapsodyError, match=r"Call openai_keys\.remove\('ann'\)"):
        keys.add("ann")
    with pytest.raises(RhapsodyError, match=r"no key has the name 'bob'\. There are 'ann'"):
        keys.remove("bob")
