"""Long frames travel in pieces, and are whole again."""

import pytest

from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import LONGEST, cut, joined

SIZES = [0, 1, LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 3 * LONGEST - 1]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_cut_is_joined(size: int) -> None:
    frames = [b"head", bytes(size), b"", b"x" * size, b"tail"]
    pieces = cut(frames)
    assert max(map(len, pieces)) <= LONGEST
    assert joined([bytes(piece) for piece in pieces]) == frames


def test_short_frames_are_left_alone() -> None:
    frames = [b"head", bytes(LONGEST - 1)]
    assert cut(frames) is frames
    assert joined(frames) is frames


def test_a_frame_without_its_last_piece_is_none() -> None:
    with pytest.raises(MalformedFrame, match="no end"):
        joined([b"head", bytes(LONGEST)])
