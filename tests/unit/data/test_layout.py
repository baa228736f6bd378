"""How a value lies in a file: what goes in comes out, aligned, and a damaged file is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.data.layout import laid_out, parts_of

PARTS = st.lists(st.binary(max_size=200), max_size=5)


@given(PARTS, PARTS)
def test_what_goes_in_comes_out(pickle: list[bytes], buffers: list[bytes]) -> None:
    file = memoryview(b"".join(laid_out(pickle, buffers)))
    body, *rest = parts_of(file)
    assert bytes(body) == b"".join(pickle)
    assert list(map(bytes, rest)) == buffers


def test_each_part_begins_where_an_array_may() -> None:
    file = b"".join(laid_out([b"x" * 3], [b"y" * 5, b"z" * 65]))
    assert [file.index(mark) % 64 for mark in (b"xxx", b"yyyyy", b"zzzzz")] == [0, 0, 0]


@pytest.mark.parametrize(
    "damaged", [b"", b"something else", b"rhapsody", b"rhapsody" + b"\xff" * 64, b"rhapsody" + bytes(64)]
)
def test_what_is_no_file_of_ours_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        parts_of(memoryview(damaged))


def test_half_a_file_is_refused() -> None:
    file = b"".join(laid_out([b"x" * 100], [b"y" * 100]))
    with pytest.raises(ValueError, match="cut off"):
        parts_of(memoryview(file[:-50]))
