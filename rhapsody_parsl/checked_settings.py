"""Configurations that users write: every field is checked when they are made."""

from typing import Any, Literal, get_args, get_origin

import msgspec

from rhapsody_parsl.annotations.arguments import without_path
from rhapsody_parsl.annotations.limits import MOST, check_period, check_range, check_text
from rhapsody_parsl.annotations.plain import plain
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.spelling import Spelled
from rhapsody_parsl.wording import nearest

__all__ = ("CheckedSettings",)

_LONGEST_WORD = 128 * 1024
"""Characters: the kernel's limit of one argument and of one variable."""


class CheckedSettings(msgspec.Struct, frozen=True, metaclass=Spelled):
    """A configuration that users write: every field is checked, and becomes plain data.

    A list is taken for a tuple, a path for its text, numpy's scalars and subclasses of built-in types for what they
    are.
    """

    def __post_init__(self) -> None:
        """Check each field against its annotation.

        Raises:
            InvalidTask: A field has a value of another type, or one that no process could be given.
        """
        for field in msgspec.structs.fields(type(self)):
            self._check_field(field)

    def _check_field(self, field: msgspec.structs.FieldInfo) -> None:
        key, value = self.key_of(field.name), getattr(self, field.name)
        given = plain(without_path(value), key)
        if get_origin(field.type) is Literal and given not in get_args(field.type):
            allowed = get_args(field.type)
            raise InvalidTask(key, value, f"allowed are {', '.join(allowed)}", nearest(given, allowed))
        try:
            converted = msgspec.convert(given, field.type)
        except msgspec.ValidationError as problem:
            raise InvalidTask(key, value, str(problem).replace("`", "")) from None
        if given is not value:
            msgspec.structs.force_setattr(self, field.name, converted)
        for word in _words_of(given):
            check_text(key, word, _LONGEST_WORD)

    def key_of(self, name: str) -> str:
        """Return what errors call a field."""
        return f"{type(self).__name__}({name})"

    def check_counts(self, low: int, *names: str) -> None:
        """Check whole numbers.

        Args:
            low: The least that is allowed.
            names: Of fields.

        Raises:
            InvalidTask: One is less, or more than anything needs.
        """
        for name in names:
            check_range(self.key_of(name), getattr(self, name), low, MOST)

    def check_timeouts(self, *names: str) -> None:
        """Check seconds.

        Args:
            names: Of fields.

        Raises:
            InvalidTask: One is no time to wait.
        """
        for name in names:
            check_period(self.key_of(name), getattr(self, name))


def _words_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]
