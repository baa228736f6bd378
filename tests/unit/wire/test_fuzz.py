"""Frames that are damaged, cut, mixed or made up: each receiver takes them, or says `MalformedFrame`.

`make fuzz` tries a million, of a seed that it shows; `RHAPSODY_FUZZ` and `RHAPSODY_FUZZ_SEED` say how many and which. A
seed that has failed stays in `SEEDS`.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from rhapsody_parsl.agents import words as w
from rhapsody_parsl.agents.carrier import understood
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.shelf import Shelf, restored
from rhapsody_parsl.config import decode_service
from rhapsody_parsl.door.keys import Keys
from rhapsody_parsl.errors import BlockLost, RhapsodyError
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.nodes import node_messages
from rhapsody_parsl.executors.tray import Tray
from rhapsody_parsl.executors.view import describe_block
from rhapsody_parsl.hosts import probe
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.wire import messages as m
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.door import DoorKeys, TunnelCredit, TunnelData, TunnelEnd, TunnelOpen
from rhapsody_parsl.wire.examination import Examine
from rhapsody_parsl.wire.gate import Token
from rhapsody_parsl.wire.inflow import Inflow, pack
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.session import Session
from rhapsody_parsl.wire.streams import Streams
from rhapsody_parsl.wire.tcp import packed, unpacked
from rhapsody_parsl.wire.value_messages import DropValues, ValuesCame, WantValue
from rhapsody_parsl.worker.flow import Flow
from testing.mutation import GENUINE, SPEC, WAYS, changed, mutated
from testing.nodes import make_nodes
from testing.simulation import FakeRuntime

FRAMES = int(os.environ.get("RHAPSODY_FUZZ", "20000"))
"""In all; each receiver gets a share of them."""
SEEDS = [1, 2, int(os.environ.get("RHAPSODY_FUZZ_SEED", "3"))]
SLOW = 1.0
"""Seconds of this thread's CPU that a single message may cost."""


@pytest.fixture(autouse=True)
def unlogged() -> Iterator[None]:
    """Log nothing: pytest would keep a million records, and a look at all of them takes Python's collector a second."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=SEEDS)
def dice(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)  # noqa: S311 - a seed's numbers, no secret


def taken(what: Callable[[], Any]) -> bool:
    """Whether it was taken for a message; anything but `MalformedFrame` is a failure."""
    began = time.thread_time()
    try:
        what()
    except MalformedFrame:
        return False
    finally:
        assert time.thread_time() - began < SLOW
    return True


def test_the_codec_takes_a_frame_or_says_what_it_is(dice: random.Random) -> None:
    codecs: list[Codec[Any]] = [Codec(kind) for kind in (m.ToPilot, m.FromPilot, m.ToBackend, m.FromBackend)]
    outcomes = set()
    for _ in range(FRAMES // 2):
        codec, frames = dice.choice(codecs), mutated(dice)
        outcomes.add(taken(lambda codec=codec, frames=frames: codec.decode(frames)))  # type: ignore[misc]  # the loop's
    assert outcomes == {True, False}, "some are damaged where it does not show"


def test_a_session_takes_a_frame_or_says_what_it_is(dice: random.Random) -> None:
    session = Session()
    for _ in range(FRAMES // 8):
        kind, number, confirmed = (dice.choice([0, 1, 2, 3, 255, (1 << 64) - 1]) for _ in range(3))
        head = struct.pack("<BQQ", kind & 0xFF, number, confirmed)
        frames = dice.choice([[head], [head, b"body"], [head[: dice.randint(0, 17)]], [dice.randbytes(17), b"x"], []])
        if not taken(lambda session=session, frames=frames: session.receive(frames)):  # type: ignore[misc]  # as above
            session = Session()
        session.replies.clear()


def test_messages_of_many_names_are_taken_or_refused(dice: random.Random) -> None:
    outcomes = set()
    for _ in range(FRAMES // 8):
        frames = [bytes(frame) for frame in packed(dice.choice(["", "n1/1"]), mutated(dice))]
        arrived = dice.choice(WAYS)(dice, frames) or [b""]
        outcomes.add(taken(lambda arrived=arrived: unpacked(arrived)))  # type: ignore[misc]  # as above
    assert outcomes == {True, False}


def test_a_stream_of_bytes_is_messages_or_is_refused(dice: random.Random) -> None:
    for _ in range(FRAMES // 32):
        near, far = socket.socketpair()
        with near, far:
            inflow = Inflow(near, dice.choice([4096, 1 << 40]))
            for _ in range(4):
                for buffer in changed(dice, [bytes(part) for part in pack(mutated(dice))], _odd_number):
                    far.sendall(buffer[:60_000])
            far.close()
            while taken(lambda inflow=inflow: _read(inflow)):  # type: ignore[misc]  # as above
                pass


def _odd_number(dice: random.Random, data: bytes, at: int) -> bytes:
    at = dice.choice([0, 8, 12, at])
    return data[:at] + dice.choice([b"\0", b"\xff", b"\x0b", dice.randbytes(1)]) * dice.randint(1, 8) + data[at + 8 :]


def _read(inflow: Inflow) -> None:
    try:
        inflow.read()
    except EOFError as problem:
        raise MalformedFrame("over") from problem


class Watcher:
    """Who learns of blocks and tasks in the driver; the link must never break."""

    def __init__(self) -> None:
        self.left_blocks = 0

    def ended(self, result: m.Result) -> None:
        with contextlib.suppress(Exception):  # what opening raises becomes the task's error
            open_result(result)

    def came(self, pieces: list[Piece]) -> None:
        tray = Tray(1, lambda _: None)
        for piece in pieces:
            tray.put(piece)
            assert tray.take() == (None if tray.lost else piece.payload), "what began again is nobody's until he knows"

    def failed(self, task: int, error: RhapsodyError) -> None:
        assert isinstance(error, BlockLost)
        assert str(error)

    def joined(self, block: Block) -> None:
        assert list(node_messages(block, "run", active=True))

    def left(self, block: Block) -> None:
        describe_block(block, {})
        self.left_blocks += 1

    def cut(self, block: str) -> None:
        """Nothing."""

    def broken(self, error: Exception) -> None:
        raise AssertionError("the link broke") from error


@pytest.fixture
def link() -> Iterator[Link]:
    """A driver's link whose thread is not started: it hears what the test says."""
    watcher: Any = Watcher()
    token = Token("t")
    made = Link(
        "tcp://127.0.0.1", watcher, Blocks(several=True), local=False, proof=token, token=token, period=1, threshold=30
    )
    yield made
    made.abandon()


def test_a_pilot_that_sends_anything_costs_the_driver_that_block_alone(dice: random.Random, link: Link) -> None:
    hear = link._entry(link._hear_local)
    hello = next(encode(message) for message in GENUINE if isinstance(message, m.Hello))
    number, pilot = 0, Session()
    other = Session()
    hear("1/x", other.send(hello))
    for _ in range(FRAMES // 8):
        peer = f"0/{number}"
        if not pilot.unconfirmed and number >= 0:
            hear(peer, pilot.send(hello))
            block = link.blocks.get("0")
            if block:
                for task in (1, 2, 3):
                    block.give(m.Task(task, SPEC, b"x"))
        frames = pilot.send(mutated(dice))
        gone = not taken(lambda peer=peer, frames=frames: hear(peer, frames))  # type: ignore[misc]  # as above
        if gone or link.blocks.get("0") is None:
            number, pilot = number + 1, Session()
    assert number, "some were lost"
    assert link.blocks.get("1") is not None, "the other one is there"


def readable(service: bytes) -> None:
    """Read a service, or say why it is none."""
    with contextlib.suppress(RhapsodyError, ValueError):
        decode_service(service)


def pass_on(streams: Streams, flow: Flow, message: Any) -> None:
    """Do as a pilot does with what is for others."""
    match message:
        case DoorKeys(keys=keys):
            Keys("own").update(keys)
        case TunnelOpen() | TunnelData() | TunnelCredit() | TunnelEnd():
            streams.receive(message)
        case More():
            flow.more(message)
        case _:
            assert isinstance(message, WantValue | ValuesCame | DropValues)


def hear(core: Core, streams: Streams, flow: Flow, message: m.ToPilot) -> None:
    """Do as a pilot does with a driver's message."""
    match message:
        case m.Submit(tasks=tasks):
            core.submit(tasks, 0.0)
        case m.Cancel(tasks=tasks):
            core.cancel(tasks, 0.0)
        case m.Stop():
            core.return_waiting()
        case m.Serve(service=service):
            readable(service)
        case Examine(tasks=tasks):
            core.examination.lanes(lambda _: ("ready", ""), (), 0.0)
            core.examination.places(tasks, lambda *_: "")
        case _:
            pass_on(streams, flow, message)
    core.take()
    core.take_results()


def test_a_driver_that_sends_anything_is_heard_or_left(dice: random.Random) -> None:
    """Also tasks whose specification cannot be read: they fail, and nothing else."""
    core = Core(Runs(Ledger(make_nodes(2))), {"local": FakeRuntime()}, "local", {})
    codec: Codec[m.ToPilot] = Codec(m.ToPilot)
    streams, flow = Streams(lambda _: None), Flow()

    for _ in range(FRAMES // 8):
        frames = mutated(dice)
        taken(lambda frames=frames: hear(core, streams, flow, codec.decode(frames)))  # type: ignore[misc]  # as above


def test_what_the_way_to_a_host_says_is_a_reason_or_nothing(dice: random.Random) -> None:
    lines = [b'{"no": "x"}', b'{"pong": true}', b"Welcome to node7!"]
    for _ in range(FRAMES // 8):
        (line,) = changed(dice, [dice.choice(lines)], _odd_line)
        understood(line)


def _hear_changed(dice: random.Random, vocabulary: Any, body: list[bytes], receive: Callable[..., None]) -> None:
    """Have changed words of the pilot, or of a node agent, heard: they are words, or the end of the line."""

    async def hear() -> None:
        for _ in range(FRAMES // 8):
            ends: list[str] = []
            line: Line[Any] = Line(
                vocabulary, post=lambda _: True, receive=receive, lost=ends.append, period=9.0, threshold=9.0
            )
            line.hear(changed(dice, Session().send(body), lambda dice, data, at: data[:at] + dice.randbytes(3)))
            assert line.closed == bool(ends)
            line.close()

    asyncio.run(hear())


def test_what_comes_from_a_node_agent_is_words_or_its_end(dice: random.Random) -> None:
    said = [w.Hello(probe.facts({})), w.Ended(3, 1, "", {"w": 4}), w.Relayed("e", "p", 1), w.Relayed("e", "p", 1, True)]
    _hear_changed(dice, w.FromAgent, [msgspec.msgpack.encode(said), b"one", b"two"], lambda *_: None)


def test_what_comes_to_a_node_agent_is_words_or_its_end(dice: random.Random) -> None:
    """Also a message of which the agent has some pieces, or not."""
    plan, shelf = [[w.Piece(b"new"), w.Piece(b"old", comes=False)], [w.Piece()]], Shelf[bytes](room=100)
    shelf.put(b"old", 50, bytes(50))

    def receive(word: Any, frames: list[bytes]) -> None:
        if isinstance(word, w.Abridged):
            assert all(type(frame) is bytes for frame in restored(word, frames, shelf))

    said = [w.Open("e"), w.Abridged("e", "p", 3, plan=plan), w.Release(3)]
    _hear_changed(dice, w.ToAgent, [msgspec.msgpack.encode(said), b"head", b"one", b"two"], receive)


def _odd_line(dice: random.Random, data: bytes, at: int) -> bytes:
    return (
        data[:at] + dice.choice([dice.randbytes(2), b"[" * 3000, b"9" * 400, b"null", b"{", b"1e999"]) + data[at + 1 :]
    )
