import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from rhapsody_parsl.wire import stream
from rhapsody_parsl.wire.stream import StreamListener
from rhapsody_parsl.wire.stream_connection import StreamConnection


class _Scarce(socket.socket):
    """A listener that the kernel gives no descriptor for a connection, some times."""

    refusals = 0

    def accept(self) -> tuple[socket.socket, object]:
        if _Scarce.refusals:
            _Scarce.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_a_descriptor_for_who_knocks_a_listener_waits_and_does_not_spin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_SHUT", 0.05)
    monkeypatch.setattr(socket, "socket", _Scarce)
    _Scarce.refusals = 3

    async def knock() -> float:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        listener = StreamListener(str(tmp_path / "listener"), lambda peer, frames: heard.set(), loop)
        began = loop.time()
        line = StreamConnection(str(tmp_path / "listener"), "worker")
        line.send([b"ready"])
        async with asyncio.timeout(10):
            await heard.wait()
        line.close()
        listener.close()
        return loop.time() - began

    assert asyncio.run(knock()) > 3 * 0.05
    assert _Scarce.refusals == 0


def test_a_large_message_goes_whole_though_a_loop_has_made_the_socket_one_that_never_waits(tmp_path: Path) -> None:
    async def talk() -> list[int]:
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[int]()
        listener = StreamListener(
            str(tmp_path / "listener"), lambda peer, frames: heard.put_nowait(len(frames[0])), loop
        )
        line = StreamConnection(str(tmp_path / "listener"), "engine")
        os.set_blocking(line.fileno(), False)  # as uvloop does with what it watches

        def send() -> None:
            line.send([bytes(8 << 20)])
            line.send([b"next"])

        async with asyncio.timeout(10):
            await asyncio.to_thread(send)
            sizes = [await heard.get() for _ in range(2)]
        line.close()
        listener.close()
        return sizes

    assert asyncio.run(talk()) == [8 << 20, 4]
