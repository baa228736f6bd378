import asyncio
import errno
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
