"""What every message is: a struct that travels as an array, its name first."""

import msgspec

__all__ = ("Tagged",)


class Tagged(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A message."""
