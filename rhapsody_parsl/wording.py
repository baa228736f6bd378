"""Values and names as errors word them: bounded, and without running a line of the value's own code.

Python asks a value for nearly everything by methods of its class, which may raise, lie, or never return. So nothing
here asks: the type is `type(value)`, and only exact built-in types are looked into.
"""

import difflib
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

__all__ = ("Shown", "clip", "name_of_class", "nearest", "shown", "tellable")

_LIMIT = 200
_ITEMS = 12
_DEPTH = 3
_MOST_BITS = 256
_WIRE_BITS = 64
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}"), dict: ("{", "}"),
}  # fmt: skip
_class_name = type.__dict__["__name__"].__get__


class Shown:
    """Stands in an error for a value that does not travel, or is too long to be told whole.

    Args:
        text: The value as `shown` words it.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return the text."""
        return self.text

    def __eq__(self, other: object) -> bool:
        """Compare texts."""
        return isinstance(other, Shown) and self.text == other.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)


_SCALARS = {str, bytes, int, float, bool, type(None), Shown}


def clip(text: str, limit: int = _LIMIT) -> str:
    """Return at most `limit` characters of a text, all of which can be encoded."""
    whole = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return whole.encode("utf-8", "backslashreplace").decode()


def name_of_class(kind: type) -> str:
    """Return a class' name as its definition gave it, whatever its metaclass says."""
    return clip(str(_class_name(kind)), 80)


def shown(value: Any) -> str:
    """Return what `repr` would, at most 200 characters of it."""
    return clip(_shown(value, _DEPTH))


def tellable(value: Any) -> Any:
    """Return a small value of plain data as it is, and `Shown` for any other: an error that holds it travels."""
    kind = type(value)
    items: Collection[Any] = (value,)
    if kind is dict or kind is list or kind is tuple:
        items = (*dict.keys(value), *dict.values(value)) if kind is dict else value
    return value if len(items) <= _ITEMS and all(map(_is_small, items)) else Shown(shown(value))


def _is_small(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= _LIMIT and value.isprintable()
    if kind is int:
        return bool(value.bit_length() < _WIRE_BITS)
    return kind is float or kind is bool or value is None


def _shown(value: Any, depth: int) -> str:
    kind = type(value)
    known: type = kind if type(kind) is type else object  # another metaclass may have its own `__hash__` and `__eq__`
    if known in _BRACKETS:
        return _shown_container(value, kind, depth)
    if known in _SCALARS:
        return _shown_scalar(value, kind)
    return f"<class '{name_of_class(value)}'>" if issubclass(kind, type) else f"<{name_of_class(kind)} object>"


def _shown_scalar(value: Any, kind: type) -> str:
    if kind is int and value.bit_length() > _MOST_BITS:
        return f"<an integer of {value.bit_length()} bits>"
    return repr(value[: _LIMIT + 1] if kind is str or kind is bytes else value)


def _shown_container(value: Any, kind: type, depth: int) -> str:
    opening, closing = _BRACKETS[kind]
    if not value:
        return repr(value)
    if not depth:
        return f"{opening}...{closing}"
    items: Iterable[str] = (_shown(item, depth - 1) for item in islice(value, _ITEMS))
    if kind is dict:
        pairs = islice(value.items(), _ITEMS)
        items = (f"{_shown(key, depth - 1)}: {_shown(item, depth - 1)}" for key, item in pairs)
    more = ", ..." if len(value) > _ITEMS else "," if kind is tuple and len(value) == 1 else ""
    return f"{opening}{', '.join(items)}{more}{closing}"


def nearest(word: Any, known: Collection[str]) -> str:
    """Return the known name that a misspelt one may have meant, as a question; "" when none is near.

    Args:
        word: What was written; anything but text is near to nothing.
        known: The names there are.
    """
    if not issubclass(type(word), str):
        return ""
    close = difflib.get_close_matches(clip(str.__str__(word), 80), sorted(known), 1)
    return f"Did you mean '{close[0]}'?" if close else ""
