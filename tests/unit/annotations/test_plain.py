from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rhapsody_parsl.annotations import plain as module
from rhapsody_parsl.annotations.plain import plain, plain_dict
from rhapsody_parsl.errors import InvalidTask


class Settings(Mapping[str, Any]):
    """A mapping that is no dict, as configuration libraries have them."""

    def __getitem__(self, key: str) -> Any:
        return {"cores": 2, "policy": OrderedDict(priority=1)}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["cores", "policy"])

    def __len__(self) -> int:
        return 2


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_mappings_become_dicts_all_the_way_down() -> None:
    found = plain_dict(Settings(), "spec")
    assert found == {"cores": 2, "policy": {"priority": 1}}
    assert [type(found), type(found["policy"])] == [dict, dict]
    assert plain_dict(None, "spec") == {}


def test_what_is_plain_stays() -> None:
    value = {"a": [1, 2.5, "x", None, True, {"b": [], 3: -1}], "big": 2**64 - 1}
    assert plain(value, "request") == value
    assert plain(nested(63), "request") == nested(63)
    assert plain([0] * 299_000, "request") == [0] * 299_000


def test_limits_name_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 10)
    for value, problem in (
        (nested(100), "lists and dicts may lie 64 deep in each other"),
        ([0] * 300_001, "it holds more than 300,000 values"),
        (["x" * 6, "y" * 6], "its texts have more than 10 characters"),
        (2**64, "whole numbers of more than 64 bits cannot be sent"),
        ([float("nan")], "a finite number is needed"),
        ({"b": {1.5: 1}}, "a key must be text, or a whole number"),
        (b"x", "it is not plain data"),
    ):
        with pytest.raises(InvalidTask, match=problem) as caught:
            plain_dict({"a": value}, "spec")
        assert caught.value.key == "a"


def test_keys_that_become_equal_are_refused() -> None:
    class Other(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 5

    with pytest.raises(InvalidTask, match="given twice"):
        plain_dict({"cores": 1, Other("cores"): 2}, "spec")
