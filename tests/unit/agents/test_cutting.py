"""Payloads are cut where equal values begin and end, and the pieces are all of the payload."""

import os
import pickle
from typing import Any

import numpy
import pytest

from rhapsody_parsl.agents.cutting import SMALLEST_PIECE, cut
from rhapsody_parsl.payload import pack_call

LARGE = os.urandom(200_000)


def function(text: str) -> Any:
    """One that travels whole, as those of a script do."""

    def called(*_: Any) -> str:
        return text

    return called


def large_ones(payload: bytes) -> set[bytes]:
    pieces = cut(payload)
    assert b"".join(pieces) == payload
    return {bytes(piece) for piece in pieces if len(piece) >= SMALLEST_PIECE}


@pytest.mark.parametrize("argument", [
    LARGE,
    bytearray(LARGE),
    LARGE.hex(),
    {"deep": [LARGE]},
    numpy.frombuffer(LARGE, numpy.uint8),
    pytest.param(list(range(100_000)), id="a list"),
    pytest.param([0.5 * number for number in range(100_000)], id="numbers"),
])  # fmt: skip
def test_an_equal_argument_is_an_equal_piece_whatever_follows(argument: Any) -> None:
    """The others of a list begin where it does: of the last frame, which the others are in, nothing is equal."""
    one, other = (large_ones(pack_call(len, (argument, more), {"more": more})) for more in (1, "another"))
    assert sum(map(len, one & other)) >= 0.8 * len(LARGE)


def test_bytes_are_a_piece_wherever_they_stand() -> None:
    assert LARGE in large_ones(pack_call(len, (1, "x", LARGE), {}))
    assert LARGE in large_ones(pack_call(len, ("longer", [LARGE, LARGE[::-1]]), {"more": LARGE.hex()}))


def test_a_function_is_a_piece() -> None:
    called = function("x" * 2 * SMALLEST_PIECE)
    one, other = (large_ones(pack_call(called, (number,), {})) for number in (1, 2))
    assert len(one & other) == 1
    assert not large_ones(pack_call(function("short"), (1,), {}))


@pytest.mark.parametrize("payload", [
    b"",
    b"1",
    b"12\nshort",
    b"\n" + LARGE,
    LARGE,
    b"\x80\x04" + LARGE,
    b"\x80\x05\x95" + bytes([255] * 8) + LARGE,
    b"\x80\x05B\xff",
    pickle.dumps(list(range(100_000)), protocol=2),
    pack_call(len, (LARGE,), {})[:-1],
    pack_call(len, (LARGE,), {}) + b"more",
])  # fmt: skip
def test_what_is_no_call_is_cut_somewhere(payload: bytes) -> None:
    assert b"".join(cut(payload)) == payload
    assert len(cut(payload)) < 20
