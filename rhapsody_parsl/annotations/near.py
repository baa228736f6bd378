"""What a service may be near: nodes with a label, or values that are kept by reference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

__all__ = ("Kept", "Near", "as_near")


class Kept(Protocol):
    """A value that is kept by reference: a `Ref`."""

    key: str
    size: int


if TYPE_CHECKING:
    Near = str | Kept | Sequence[Kept] | dict[str, int]
else:
    Near = str | dict[str, int]  # what `as_near` makes of it, which is what travels


def as_near(given: Any) -> Any:
    """Return a label as it is; of values that are kept by reference, their sizes by their keys.

    Types are looked at, and nothing is asked of an object that may be anything.
    """
    values = given if type(given) is list or type(given) is tuple else [given]
    if not values or not all(hasattr(type(value), "key") and hasattr(type(value), "size") for value in values):
        return given
    return {value.key: value.size for value in values}
