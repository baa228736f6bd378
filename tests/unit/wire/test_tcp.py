"""Messages of many names on one connection: those of one turn of the loop travel as one, and all arrive."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rhapsody_parsl.wire import tcp
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import LONGEST
from rhapsody_parsl.wire.tcp import SIGN, Bundle, Frames, packed, unpacked
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection
from rhapsody_parsl.wire.tcp_listener import TcpListener

SMALL = tcp._SMALL
SIZES = [[b""], [b"a", b"bc"], [b"x" * SMALL], [b"h", b"x" * SMALL], [b"x" * LONGEST], [b"x" * (2 * LONGEST + 1), b""]]


@pytest.mark.parametrize("frames", SIZES, ids=lambda frames: str(sum(map(len, frames))))
def test_what_is_packed_comes_out_again(frames: list[bytes]) -> None:
    travels = [bytes(frame) for frame in packed("n", frames)]
    assert (len(travels) == 1) == (sum(map(len, frames)) <= SMALL)
    assert max(map(len, travels)) <= LONGEST
    assert unpacked(travels) == [("n", frames)]


def test_one_that_is_heard_no_more_and_a_sign_of_life_have_no_frames() -> None:
    assert unpacked([bytes(frame) for frame in packed("n")]) == [("n", [])]
    assert unpacked(SIGN) == []
    with pytest.raises(MalformedFrame, match="of nobody"):
        unpacked([*SIGN, b"x"])


def test_a_bundle_has_what_was_said_in_a_turn_in_order_and_a_bounded_size() -> None:
    async def act() -> None:
        sent: list[Frames] = []
        bundle = Bundle(asyncio.get_running_loop(), sent.append)
        said = [(f"n{number % 3}", [bytes([number]), b"y" * 500]) for number in range(200)]
        for name, frames in said:
            bundle.add(name, frames)
        await asyncio.sleep(0)
        assert len(sent) == 1
        bundle.add("n", [b"before"])
        bundle.add("n", [b"l" * (SMALL + 1)])
        bundle.add("n", [b"after"])
        for _ in range(20):
            bundle.add("m", [b"x" * SMALL])
        await asyncio.sleep(0)
        heard = [each for frames in sent for each in unpacked([bytes(frame) for frame in frames])]
        assert heard[:200] == said
        assert [frames[0][:6] for name, frames in heard[200:] if name == "n"] == [b"before", b"llllll", b"after"]
        assert max(len(frame) for frames in sent for frame in frames) < LONGEST // 8
        assert 3 < len(sent) < 8

    asyncio.run(act())


class Shared:
    """A listener and a connection of many names, and what each has heard; "bad" is no message."""

    def __init__(self, keys: Keys) -> None:
        loop = asyncio.get_running_loop()
        self.heard: list[tuple[str, list[bytes]]] = []
        self.others: list[tuple[str, list[bytes]]] = []
        self.own: list[list[bytes]] = []
        self.listener = TcpListener("tcp://127.0.0.1", self._hear, keys, loop, bundles=True)
        self.connection = AsyncTcpConnection(
            self.listener.endpoint, "own", keys, loop, receive=self.own.append, connected=lambda _: None,
            hung_up=lambda: self.own.append([b"never"]), pass_on=lambda *said: self.others.append(said),
        )  # fmt: skip
        self.bundle = Bundle(loop, self.connection.send_packed)

    def _hear(self, name: str, frames: list[bytes]) -> None:
        if frames == [b"bad"]:
            raise MalformedFrame("bad")
        self.heard.append((name, frames))

    def close(self) -> None:
        self.connection.close()
        self.listener.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_those_on_one_connection_are_answered_there_and_told_alone_that_they_are_heard_no_more(tmp_path: Path) -> None:
    large = [b"x" * (LONGEST + 1)]

    async def act() -> None:
        shared = Shared(Keys.create(tmp_path / "keys"))
        try:
            await until(lambda: shared.connection.send([b"1"]))
            for name, frames in (("a", [b"2"]), ("b", [b"bad"]), ("c", [b"3"]), ("a", large)):
                shared.bundle.add(name, frames)
            await until(lambda: len(shared.heard) == 4)
            assert shared.heard == [("own", [b"1"]), ("a", [b"2"]), ("c", [b"3"]), ("a", large)]
            for name, frames in (("own", [b"4"]), ("a", [b"5"]), ("c", large), ("a", [b"6"])):
                assert shared.listener.send(name, frames)
            shared.listener.greet()
            await until(lambda: len(shared.others) == 4)
            assert shared.own == [[b"4"]]
            assert shared.others == [("b", []), ("a", [b"5"]), ("c", large), ("a", [b"6"])]
            shared.listener.forget("a")
            assert not shared.listener.send("a", [b"7"])
        finally:
            shared.close()

    asyncio.run(act())


def test_a_port_that_somebody_has_is_told(tmp_path: Path) -> None:
    async def act() -> None:
        loop, keys = asyncio.get_running_loop(), Keys.create(tmp_path / "keys")
        listener = TcpListener("tcp://127.0.0.1", lambda *_: None, keys, loop)
        with pytest.raises(OSError, match="in use"):
            TcpListener("tcp://127.0.0.1", lambda *_: None, keys, loop, port=listener.port)
        listener.close()

    asyncio.run(act())


HANGS = """
import asyncio, socket, time
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection
from rhapsody_parsl.wire.tcp_listener import TcpListener
silent = socket.socket(type=socket.SOCK_DGRAM)
silent.bind(("127.0.0.9", 53))
async def turn():
    loop, keys, there = asyncio.get_running_loop(), Keys.fresh(), asyncio.Event()
    listener = TcpListener("tcp://127.0.0.1", print, keys, loop)
    connection, other = (
        AsyncTcpConnection(f"tcp://{name}.example:7000", name, keys, loop, receive=print,
                           connected=lambda _: there.set(), hung_up=print)
        for name in ("turns", "closes")
    )
    assert await asyncio.to_thread(silent.recv, 1000), "it is looked up"
    began = time.monotonic()
    connection.turn(listener.endpoint, keys)
    await there.wait()
    for each in (other, connection, listener):
        each.close()
    print(time.monotonic() - began)
asyncio.run(turn())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have names looked up elsewhere")
def test_a_name_whose_look_up_hangs_holds_up_neither_a_turn_nor_an_end(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.9\noptions timeout:5 attempts:2\n")
    script = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec {sys.executable} -c "$0"'
    command = ["unshare", "--mount", "--net", "sh", "-c", f"ip link set lo up && {script}", HANGS]
    found = subprocess.run(command, capture_output=True, text=True, timeout=25, check=True)
    assert float(found.stdout) < 3
