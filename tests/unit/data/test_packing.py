"""A value as a file and back: arrays are read in place."""

import collections
from typing import Any

import numpy
import pytest

from rhapsody_parsl.data.packing import opened, packed


class Own:
    def __init__(self, data: Any) -> None:
        self.data = data


def there_and_back(value: Any) -> Any:
    return opened(memoryview(b"".join(packed(value))))


@pytest.mark.parametrize(
    "value", [None, 7, "text", b"x" * 100_000, [1, {"a": (2.5, None)}], collections.Counter("aab")]
)
def test_plain_and_other_values(value: Any) -> None:
    assert there_and_back(value) == value


@pytest.mark.parametrize("wrap", [lambda array: array, lambda array: {"a": [array]}, Own])
def test_an_array_is_a_view_that_cannot_be_written(wrap: Any) -> None:
    array = numpy.arange(100_000.0)
    pieces = packed(wrap(array))
    assert any(isinstance(piece, memoryview) and piece.nbytes == array.nbytes for piece in pieces), "it is not copied"
    file = memoryview(b"".join(pieces))
    found = opened(file)
    found = found.data if isinstance(found, Own) else found["a"][0] if isinstance(found, dict) else found
    assert numpy.array_equal(found, array)
    assert not found.flags.writeable
    assert numpy.shares_memory(found, numpy.frombuffer(file, "u1"))


def test_large_bytes_are_written_as_they_are() -> None:
    data = b"x" * 100_000
    assert any(piece is data for piece in packed((data, 1.5)))


def test_a_function_of_the_script_travels_by_dill() -> None:
    assert there_and_back(lambda x: x + 1)(1) == 2
