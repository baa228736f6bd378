"""Whatever a user wrote as plain data: built-in numbers, texts, lists and dicts, of bounded size, that msgpack carries.

Everything behind this entry reads plain values only. The entry itself runs no code of a value's class but that of a
mapping which is no dict, and reads each built-in type by its own methods: a subclass' would be the user's code.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from numbers import Real
from typing import Any

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.wording import clip, name_of_class

__all__ = ("is_a", "is_scalar", "plain", "plain_dict")

_MOST_ITEMS = 300_000
_MOST_CHARACTERS = 256 * 1024 * 1024
_DEEPEST = 64
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1
_BUILT_IN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__), (int, int.__pos__), (float, float.__pos__),
)  # fmt: skip
"""What subclasses are taken for, and what makes exactly that of them."""

_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset)
_ALLOWED = "numbers, text, True, False, None, and lists and dicts of them"


def plain_dict(value: Any, key: str) -> dict[Any, Any]:
    """Return a dict of plain data; the same for `None` as for an empty one.

    Args:
        value: Anything.
        key: What it is, for the error.

    Raises:
        InvalidTask: It is no dict, or holds something that is no plain data or too much.
    """
    if value is None:
        return {}
    if not is_a(type(value), Mapping):
        raise InvalidTask(key, value, "a dict is needed")
    return _Reader(key).dict_of(value, 0)


def plain(value: Any, key: str) -> Any:
    """Return a value as plain data.

    Args:
        value: Anything.
        key: What it is, for the error.

    Raises:
        InvalidTask: It is, or holds, something that is no plain data, or too much.
    """
    return _Reader(key).value_of(value, 1)


def is_scalar(kind: type) -> bool:
    """Return whether a class' objects are single numbers or texts: built-in ones, subclasses of them, or numpy's."""
    return issubclass(kind, (str, int, float)) or _is_of_numpy(kind)


def is_a(kind: type, wanted: type) -> bool:
    """Return whether a class counts as another, which may be abstract: then the class is asked, and may do anything."""
    try:
        return bool(issubclass(kind, wanted))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - the user's metaclass
        return False


def _is_of_numpy(kind: type) -> bool:
    scalar = getattr(sys.modules.get("numpy"), "generic", None)
    return scalar is not None and issubclass(kind, scalar)


class _Reader:
    """Reads one value, and counts what it holds: a dict that holds itself, and one shared a million times, end there.

    Args:
        key: Where in the specification, for errors.
    """

    __slots__ = ("_characters", "_items", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self._items = self._characters = 0

    def value_of(self, value: Any, depth: int) -> Any:
        """Return a value of any type as plain data."""
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int:
            return self._whole(value)
        if kind is bool or value is None:
            return value
        if kind is float:
            return self._real(value)
        return self._other(value, kind, depth)

    def dict_of(self, value: Any, depth: int) -> dict[Any, Any]:
        """Return a mapping as a dict of plain data, whose keys are texts or whole numbers."""
        out: dict[Any, Any] = {}
        outer = self.key
        for key, item in self._pairs(value):
            self._count(depth)
            name = self.value_of(key, _DEEPEST)
            if type(name) is not str and type(name) is not int:
                raise self._refuse(key, "a key must be text, or a whole number")
            if name in out:
                raise self._refuse(name, "this key is given twice")
            if depth == 0:
                self.key = clip(str(name))
            out[name] = self.value_of(item, depth + 1)
        self.key = outer
        return out

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        """Read what is of no exact built-in type: containers, subclasses of built-in types, numpy's scalars."""
        if _is_of_numpy(kind):
            return self._numpy(sys.modules["numpy"].generic.item(value), value)
        for base, exact in _BUILT_IN:
            if issubclass(kind, base):
                return self.value_of(exact(value), depth)
        for sequence in _SEQUENCES:
            if issubclass(kind, sequence):
                return self._list(sequence.__iter__(value), depth)
        if is_a(kind, Mapping):
            return self.dict_of(value, depth)
        raise self._refuse(value, f"it is not plain data: {_ALLOWED}")

    def _numpy(self, item: Any, value: Any) -> Any:
        """Read what numpy makes of a scalar of its own; `longdouble` has no built-in equal and stays what it is."""
        if type(item) is type(value) and issubclass(type(value), Real):
            item = float(item)
        if type(item) not in {bool, int, float, str}:
            raise self._refuse(value, f"it is not plain data: {_ALLOWED}")
        return self.value_of(item, 0)

    def _list(self, items: Iterable[Any], depth: int) -> list[Any]:
        out = []
        for item in items:
            self._count(depth)
            out.append(self.value_of(item, depth + 1))
        return out

    def _pairs(self, value: Any) -> Iterable[tuple[Any, Any]]:
        if issubclass(type(value), dict):
            return dict.items(value)
        try:
            return [(key, value[key]) for key in islice(value, _MOST_ITEMS + 1)]
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - the mapping's own code
            raise self._refuse(value, f"it cannot be read: {name_of_class(type(problem))}") from None

    def _count(self, depth: int) -> None:
        self._items += 1
        if depth >= _DEEPEST:
            raise InvalidTask(self.key, "...", f"lists and dicts may lie {_DEEPEST} deep in each other")
        if self._items > _MOST_ITEMS:
            raise InvalidTask(self.key, "...", f"it holds more than {_MOST_ITEMS:,} values")

    def _text(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > _MOST_CHARACTERS:
            raise self._refuse(text, f"its texts have more than {_MOST_CHARACTERS:,} characters")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise self._refuse(text, "half of a surrogate pair is no character, and cannot be sent") from None
        return text

    def _whole(self, number: int) -> int:
        if not _LOWEST <= number <= _HIGHEST:
            raise self._refuse(number, "whole numbers of more than 64 bits cannot be sent")
        return number

    def _real(self, number: float) -> float:
        if not math.isfinite(number):
            raise self._refuse(number, "a finite number is needed")
        return number

    def _refuse(self, value: Any, problem: str) -> InvalidTask:
        return InvalidTask(self.key, value, problem)
