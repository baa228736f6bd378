"""Messages of a stream: large ones come whole, and what one only announces costs nothing."""

import socket
import struct
import threading
import tracemalloc

import pytest

from rhapsody_parsl.wire.inflow import Inflow, pack
from rhapsody_parsl.wire.malformed import MalformedFrame


def test_a_message_that_is_larger_than_the_first_room_comes_whole() -> None:
    frames = [b"head", bytes(range(256)) * 200_000, b"", b"tail"]
    near, far = socket.socketpair()
    with near, far:
        buffers = [*pack([b"before"]), *pack(frames), *pack([b"after"])]
        sender = threading.Thread(target=lambda: far.sendall(b"".join(buffers)))
        sender.start()
        inflow, whole = Inflow(near), list[list[bytes]]()
        while len(whole) < 3:
            whole += inflow.read()
        sender.join()
    assert whole == [[b"before"], frames, [b"after"]]


def test_a_size_that_is_only_announced_takes_no_memory() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(struct.pack("<QI", 1 << 38, 1) + bytes(40_000))
        inflow = Inflow(near)
        tracemalloc.start()
        assert inflow.read() == []
        far.sendall(bytes(40_000))
        assert inflow.read() == []
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.parametrize("size", [0, 11, (1 << 40) + 1, (1 << 64) - 1])
def test_a_size_that_nothing_has_is_refused(size: int) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(struct.pack("<QI", size, 0))
        with pytest.raises(MalformedFrame, match="is announced"):
            Inflow(near).read()


@pytest.mark.parametrize(("count", "lengths"), [(1, [5]), (2, [1, 1 << 63]), (1 << 31, []), (0, [])])
def test_frames_that_a_message_does_not_hold_are_refused(count: int, lengths: list[int]) -> None:
    body = struct.pack(f"<{len(lengths)}Q", *lengths) + b"abc"
    near, far = socket.socketpair()
    with near, far:
        far.sendall(struct.pack("<QI", 12 + len(body), count) + body)
        with pytest.raises(MalformedFrame, match="does not hold"):
            Inflow(near).read()
