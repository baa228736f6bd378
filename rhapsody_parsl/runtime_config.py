"""The base of what users configure: checked fields, and what a runtime's configuration says beside them."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args, get_origin

import msgspec

from rhapsody_parsl.annotations.arguments import without_path
from rhapsody_parsl.annotations.limits import MOST, check_period, check_range, check_text
from rhapsody_parsl.annotations.plain import plain
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.runtime_table import RuntimeKind
from rhapsody_parsl.spelling import Spelled
from rhapsody_parsl.wording import nearest

__all__ = ("RuntimeConfig", "Served", "Settings", "nested")

_LONGEST_WORD = 128 * 1024
"""Characters: the kernel's limit of one argument and of one variable."""


class Settings(msgspec.Struct, frozen=True, metaclass=Spelled):
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
        key, value = self._key(field.name), getattr(self, field.name)
        if nested(field.type):
            return  # the class with the field has checked it
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

    def _key(self, name: str) -> str:
        return f"{type(self).__name__}({name})"

    def _counts(self, low: int, *names: str) -> None:
        for name in names:
            check_range(self._key(name), getattr(self, name), low, MOST)

    def _timeouts(self, *names: str) -> None:
        for name in names:
            check_period(self._key(name), getattr(self, name))


def _words_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]


class Served(Protocol):
    """What the driver looks at of a service before there is a block."""

    @property
    def name(self) -> str:
        """Tasks ask it by this name."""

    @property
    def nodes(self) -> int:
        """Nodes that one replica spans."""


class RuntimeConfig(Settings, RuntimeKind, frozen=True, kw_only=True):
    """A runtime of the blocks: its settings, and for all of its kind its name, what it takes and who implements it.

    A subclass says `name`, `takes` and `implementation`, and has fields for its settings. The driver writes these, and
    the pilot imports the class to read them: so its module can be imported in the block, and imports no Parsl.
    """

    @property
    def window(self) -> int:
        """How many tasks it wants at once that take no lease; 0 when all its tasks take one."""
        return 0

    @property
    def serves(self) -> Sequence[Served]:
        """What it serves for a block's whole life."""
        return ()

    def misfit(self) -> tuple[str, str]:
        """Return why this Python cannot run it, and what to do about that; two empty texts when it can."""
        return "", ""


def nested(kind: Any) -> type[Settings] | None:
    """Return the settings of which a field holds several; None for a field of plain data."""
    return next((each for each in get_args(kind) if isinstance(each, type) and issubclass(each, Settings)), None)
