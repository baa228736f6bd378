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
    """Return a label as it is; of values that are kept by reference, their sizes by their keys."""
    values = given if isinstance(given, (list, tuple)) else [given]
    if not values or not all(hasattr(value, "key") and hasattr(value, "size") for value in values):
        return given
    return {value.key: value.size for value in values}
