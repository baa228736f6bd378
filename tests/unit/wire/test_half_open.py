"""Strangers who knock and say nothing, or announce more than anybody has: what they may cost."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.half_open import HalfOpen
from rhapsody_parsl.wire.pieces import LONGEST
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection
from rhapsody_parsl.wire.tcp_listener import TcpListener

MOST = 10


@pytest.fixture(params=["token", "keys"])
def proof(request: pytest.FixtureRequest, tmp_path: Path) -> Proof:
    return Token.create() if request.param == "token" else Keys.create(tmp_path / "keys")


@contextlib.contextmanager
def strangers(port: int, count: int, words: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(stranger(port, words)) for _ in range(count)]


def stranger(port: int, words: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=5)
    with contextlib.suppress(OSError):
        made.sendall(words)
    return made


def connections(port: int) -> int:
    found = psutil.Process().net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


class Line:
    """One of ours, and what it has heard."""

    def __init__(self, endpoint: str, name: str, proof: Proof) -> None:
        self.heard: list[list[bytes]] = []
        self.gone = False
        self._connection = AsyncTcpConnection(
            endpoint,
            name,
            proof,
            asyncio.get_running_loop(),
            receive=self.heard.append,
            connected=lambda there: None if there else self._end(),
            hung_up=self._end,
        )
        self.close = self._connection.close

    def _end(self) -> None:
        self.gone = True

    async def send(self, frames: list[bytes]) -> None:
        async with asyncio.timeout(10):
            while not self._connection.send(frames):
                await asyncio.sleep(0.01)


async def until_heard(heard: "list[list[bytes]]", known: int = 0) -> None:
    async with asyncio.timeout(10):
        while len(heard) == known:
            await asyncio.sleep(0.01)


async def hears(heard: "list[list[bytes]]", line: Line) -> bool:
    """Whether the listener still hears one of ours."""
    known = len(heard)
    await line.send([b"x"])
    await until_heard(heard, known)
    return heard[-1] == [b"x"]


@pytest.mark.parametrize("words", [b"", b"\xff", b"\xff\0\0\0\0\0\0\0\x01\x7f\3"])
def test_those_who_say_nothing_take_no_more_than_so_many_places(proof: Proof, words: bytes) -> None:
    async def act() -> None:
        heard: list[list[bytes]] = []
        listener = TcpListener(
            "tcp://127.0.0.1", lambda _, frames: heard.append(frames), proof, asyncio.get_running_loop(), silent=MOST
        )
        endpoint = f"tcp://127.0.0.1:{listener.port}"
        before = Line(endpoint, "before", proof)
        assert await hears(heard, before)
        with strangers(listener.port, 5 * MOST, words):
            async with asyncio.timeout(10):
                while connections(listener.port) > MOST + 2:
                    await asyncio.sleep(0.01)
            after = Line(endpoint, "after", proof)
            assert await hears(heard, after)
            assert await hears(heard, before)
            assert listener.send("before", [b"a"])
            await until_heard(before.heard)
            assert before.heard == [[b"a"]]
            assert not before.gone
            assert not after.gone
        for line in (before, after):
            line.close()
        listener.close()

    asyncio.run(act())


@pytest.mark.parametrize("size", [LONGEST * 2, 1 << 34, 1 << 62, (1 << 64) - 1])
@pytest.mark.parametrize("flags", [0x02, 0x06])
def test_what_a_stranger_announces_takes_no_memory(proof: Proof, size: int, flags: int) -> None:
    async def act() -> None:
        listener = TcpListener("tcp://127.0.0.1", lambda *_: None, proof, asyncio.get_running_loop())
        mechanism = b"PLAIN" if isinstance(proof, Token) else b"CURVE"
        greeting = b"\xff" + bytes(8) + b"\x7f\3\0" + mechanism.ljust(20, b"\0") + bytes(32)
        with strangers(listener.port, 1, greeting + bytes([flags]) + struct.pack(">Q", size)) as (one,):
            await asyncio.to_thread(told_to_leave, one)
        listener.close()

    asyncio.run(act())


def told_to_leave(one: socket.socket) -> None:
    deadline = time.monotonic() + 5  # ZeroMQ itself asks for a proof within 30 s
    with contextlib.suppress(ConnectionError):
        while one.recv(4096):
            assert time.monotonic() < deadline
    assert time.monotonic() < deadline


def test_a_large_message_passes_both_ways(proof: Proof) -> None:
    async def act() -> None:
        heard: list[list[bytes]] = []
        listener = TcpListener(
            "tcp://127.0.0.1", lambda _, frames: heard.append(frames), proof, asyncio.get_running_loop()
        )
        line = Line(f"tcp://127.0.0.1:{listener.port}", "one", proof)
        large = [b"head", b"x" * (2 * LONGEST), b"y" * (LONGEST + 1)]
        await line.send(large)
        await until_heard(heard)
        assert heard == [large]
        assert listener.send("one", large)
        await until_heard(line.heard)
        assert line.heard == [large]
        line.close()
        listener.close()

    asyncio.run(act())


def test_a_file_of_somebody_else_is_left_alone() -> None:
    """ZeroMQ has closed the connection meanwhile, and its number is another socket's."""
    near, far = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with near, far, listener:
        step = HalfOpen(listener.getsockname()[1], 0)
        for descriptor in (near.fileno(), listener.fileno(), 10**6):
            assert step.came(descriptor)
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        with socket.create_connection(listener.getsockname(), timeout=5):
            listener.accept()[0].close()


def test_who_has_spoken_is_not_cut_off() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname(), timeout=5) as far, listener.accept()[0] as near:
        step = HalfOpen(listener.getsockname()[1], 1)
        assert not step.came(near.fileno())
        step.spoke(b"1", near.fileno())
        assert step.knows(b"1")
        assert not step.came(10**6)
        assert step.came(10**6 + 1)
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        step.left(near.fileno())
        assert not step.knows(b"1")
