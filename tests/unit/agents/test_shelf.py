"""What an agent keeps of payloads: equal pieces come once, and both ends always know what is there."""

import asyncio
import hashlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.agents import host as host_module
from rhapsody_parsl.agents import shelf as shelf_module
from rhapsody_parsl.agents.cutting import SMALLEST_PIECE
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.shelf import Abridger, Repeats, Shelf, restored
from rhapsody_parsl.agents.words import Abridged, Piece, Relayed
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import Returned, Task, Work
from testing import leaks
from tests.unit.agents.there import Way, host_at, node_agents, with_host

SIZE = 100_000
SAME = os.urandom(SIZE)


class Ends:
    """The pilot's end, and the agent's."""

    def __init__(self, repeats: Repeats | None = None) -> None:
        self.pilot, self.agent = Abridger(repeats or Repeats()), Shelf[bytes]()

    def send(self, *payloads: bytes) -> int:
        """Send a message with these payloads, which arrives whole; return how many bytes went."""
        message = [b"head", *payloads]
        word, frames = self.pilot.abridged("workers", "w1", message)
        assert word.frames == len(frames)
        came = [bytes(frame) for frame in frames]
        whole = restored(word, came, self.agent) if isinstance(word, Abridged) else came
        assert whole == message
        assert self.agent._things.keys() == self.pilot._shelf._things.keys(), "both know what is there"
        return sum(map(len, frames))


def call(number: int, argument: bytes = SAME) -> bytes:
    return pack_call(len, (argument, number), {})


def test_an_equal_argument_goes_once_to_each_host_and_once_more() -> None:
    repeats = Repeats()
    hosts = [Ends(repeats) for _ in range(3)]
    went = sum(host.send(call(number)) for number in range(20) for host in hosts)
    assert 4 * SIZE < went < 4 * SIZE + 60 * 400


def test_what_comes_once_is_sent_as_it_is_and_not_kept() -> None:
    ends = Ends()
    for number in range(20):
        word, frames = ends.pilot.abridged("workers", "w1", message := [b"head", call(number, os.urandom(SIZE))])
        assert type(word) is Relayed
        assert frames is message
    assert ends.send(call(0, os.urandom(SIZE))) > SIZE
    assert not ends.agent.held


def test_what_only_looks_the_same_arrives_as_it_is() -> None:
    """As an array whose middle, ends and size are those of another."""
    ends, other = Ends(), bytearray(SAME)
    other[SIZE // 4] ^= 1
    for _ in range(2):
        ends.send(call(1, SAME), call(2, bytes(other)))
    assert ends.send(call(3, SAME), call(4, bytes(other))) < 1000


def test_what_was_used_longest_ago_goes_first() -> None:
    shelf = Shelf[str](room=10)
    for name in (b"a", b"b"):
        shelf.put(name, 4, name.decode())
    assert shelf.use(b"a") == "a"
    shelf.put(b"c", 6, "c")
    assert (b"a" in shelf, b"b" in shelf, b"c" in shelf, shelf.held) == (True, False, True, 10)
    with pytest.raises(KeyError):
        shelf.use(b"b")


def test_both_ends_drop_the_same_and_nothing_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also within one message, which names what it brings and has that dropped again."""
    monkeypatch.setattr(Shelf.__init__, "__defaults__", (3 * SIZE,))
    dice, ends = random.Random(1), Ends()  # noqa: S311 - an experiment
    arguments = [os.urandom(SIZE) for _ in range(5)]
    went = [ends.send(*(call(n, dice.choice(arguments)) for n in range(4))) for _ in range(200)]
    assert ends.agent.held <= 3 * SIZE
    assert sum(went) < 0.8 * 800 * SIZE


def test_what_is_longer_than_half_of_the_room_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "_LONGEST_PIECE", SIZE - 1)
    ends = Ends()
    assert [ends.send(call(number)) > SIZE for number in range(4)] == [True] * 4


def test_few_samples_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "_MOST_SAMPLES", 3)
    repeats = Repeats()
    pieces = [memoryview(os.urandom(SIZE)) for _ in range(4)]
    assert [repeats.come_again(piece) for piece in (*pieces, *pieces[1:], pieces[0])] == [False] * 4 + [True] * 3 + [
        False
    ]


@pytest.mark.parametrize(("plan", "frames"), [
    ([[Piece(b"x" * 20, comes=False)]], [b"head"]),
    ([[Piece(), Piece()]], [b"head", b"one"]),
    ([], []),
])  # fmt: skip
def test_a_message_that_lacks_a_piece_is_none(plan: list[list[Piece]], frames: list[bytes]) -> None:
    with pytest.raises(MalformedFrame, match="a piece of a message is not here"):
        restored(Abridged("workers", "w1", len(frames), plan=plan), frames, Shelf())


READER = """
import hashlib, sys
from rhapsody_parsl.wire.codec import Codec
from rhapsody_parsl.wire.messages import Returned, ToBackend
from rhapsody_parsl.wire.stream_connection import StreamConnection
from rhapsody_parsl.wire.codec import encode
codec, line = Codec(ToBackend), StreamConnection(sys.argv[1], "reader")
line.send(encode(Returned(0, [])))
while (frames := line.receive()) is not None:
    (task,) = codec.decode(frames).tasks
    line.send(encode(Returned(int(hashlib.sha256(task.payload).hexdigest()[:8], 16), [task.id])))
"""


class Reader:
    """A process of the host that says what it got."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host, self._codec = host, Codec[Returned](Returned)
        self._said: list[Returned] = []
        host.open("readers", lambda _, frames: self._said.extend([self._codec.decode(frames)] if frames else ()))
        argv = [sys.executable, "-c", READER, str(folder / "readers")]
        self.backend = Backend(argv, folder.parent / "reader.log", host=host, grace=0.3)

    async def start(self) -> None:
        self._said.clear()
        await self.backend.start()
        await self._until_said(1)

    def send(self, *tasks: Task) -> None:
        for task in tasks:
            self._host.send_tasks("readers", "reader", encode(Work(1, "call", (), {}, [task]), SMALLEST_PIECE))

    async def got(self, *tasks: Task) -> None:
        await self._until_said(1 + len(tasks))
        sums = [int(hashlib.sha256(task.payload).hexdigest()[:8], 16) for task in tasks]  # type: ignore[arg-type]  # bytes
        assert [said.run for said in self._said[1:]] == sums

    async def _until_said(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self._said) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with leaks.watch(5.0):
        yield tmp_path / "private"


def test_a_cut_changes_nothing_of_what_is_known(folder: Path) -> None:
    """Each message arrives as it was, also those that were in flight, and few bytes have gone."""
    tasks = [Task(number, b"", call(number)) for number in range(40)]

    async def run() -> None:
        way = Way()
        host = host_at(folder, folder.parent / "node-agent.log", threshold=20.0)
        await way.open(host)
        try:
            assert await host.start(), host.problem
            reader = Reader(host, folder)
            await reader.start()
            before = way.carried
            reader.send(*tasks[:10])
            await asyncio.sleep(0.01)
            way.cut()
            reader.send(*tasks[10:])
            await asyncio.sleep(0.5)
            way.cut(False)
            await reader.got(*tasks)
            assert way.carried - before < 5 * SIZE
            await reader.backend.stop()
        finally:
            await host.stop()
            host.listener.close()
            await way.close()

    asyncio.run(run())


def test_an_agent_that_comes_after_a_loss_is_told_all_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 0.1)
    tasks = [Task(number, b"", call(number)) for number in range(8)]

    async def story(host: Host) -> None:
        reader = Reader(host, folder)
        await reader.start()
        reader.send(*tasks)
        await reader.got(*tasks)
        for process in node_agents():
            process.kill()
        await reader.backend.wait()
        await asyncio.wait_for(host.wait_up(), 20)
        await reader.start()
        reader.send(*tasks)
        await reader.got(*tasks)
        await reader.backend.stop()

    with_host(folder, story)
