"""What any Parsl opens our plain values with; `payload` writes and reads them itself, without Parsl."""

import pickle
from typing import Any

from parsl.serialize.base import SerializerBase

from rhapsody_parsl.payload import HEADER, pickled

__all__ = ("PlainSerializer",)


class PlainSerializer(SerializerBase):
    """Pickle for built-in values and containers of them; a serializer as Parsl finds it, by the name in its header."""

    identifier = HEADER.rstrip()

    def serialize(self, data: Any) -> bytes:
        """Return the pickle.

        Raises:
            Exception: It is not plain, or not picklable.
        """
        return b"".join(pickled(data))

    def deserialize(self, body: bytes) -> Any:
        """Return the value."""
        return pickle.loads(body)
