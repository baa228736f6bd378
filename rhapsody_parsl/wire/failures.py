"""The package's own errors between processes: as `(class name, facts)`, because the pilot never unpickles anything."""

from typing import Any

from rhapsody_parsl import errors
from rhapsody_parsl.errors import LostTask, RhapsodyError
from rhapsody_parsl.errors.base import rebuilt

__all__ = ("from_wire", "is_lost", "to_wire")

_BY_NAME: dict[str, type[RhapsodyError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RhapsodyError)
}


def to_wire(error: RhapsodyError) -> tuple[str, list[Any]]:
    """Return class name and facts; facts are plain data or become their `repr`.

    Args:
        error: One of `rhapsody_parsl.errors`.
    """
    return type(error).__name__, [_plain(fact) for fact in error.args]


def _plain(fact: Any) -> Any:
    """Return what msgpack can carry: plain data as it is, anything else as its `repr`."""
    match fact:
        case str():
            return fact.encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be sent
        case None | bool() | float() | int() if not isinstance(fact, int) or abs(fact) < 1 << 63:
            return fact
        case list() | tuple():
            return [_plain(item) for item in fact]
        case dict():
            return {str(key): _plain(value) for key, value in fact.items()}
        case _:
            return repr(fact)


def from_wire(name: str, facts: list[Any]) -> RhapsodyError:
    """Rebuild what `to_wire` took apart.

    Args:
        name: Class name; an unknown one (a newer peer) becomes the root class, facts kept.
        facts: Constructor arguments.
    """
    return rebuilt(name, facts)


def is_lost(name: str) -> bool:
    """Whether an error says that a task was lost with what ran it.

    Args:
        name: Class name, as it travels.
    """
    return issubclass(_BY_NAME.get(name, RhapsodyError), LostTask)
