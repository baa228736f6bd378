"""Messages that are damaged, cut, mixed or made up, as bytes that strangers and broken peers send; from a seed."""

import random
from collections.abc import Callable

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.config import encode_service
from rhapsody_parsl.service_config import CommandService
from rhapsody_parsl.wire import door
from rhapsody_parsl.wire import messages as m
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.codec import encode
from rhapsody_parsl.wire.engine_messages import Abort, Ask, Asks, Rendezvous
from rhapsody_parsl.wire.examination import Examine, Examined, LaneReport, TaskPlace
from rhapsody_parsl.wire.leases import LeaseRecord, Share
from rhapsody_parsl.wire.memory_messages import Exceeded, Limit, Release
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More, Piece, Pieces
from rhapsody_parsl.wire.reports import BlockReport, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.times import RequestTimes
from testing.nodes import make_inventory

__all__ = ("GENUINE", "SPEC", "changed", "mutated")

LARGE = b"p" * 40_000
SHARED = m.SharedPayload("/a", 9)
SPEC = encode_spec(TaskSpec(runtime="local"))
LEASE = LeaseRecord(1, "mpi", "t", (Share("n0", (0, 1), (0,), 1.5),), 1.0, 2.0, 3)
SERVED = encode_service(CommandService("a", "b"))
SERVICE = ServiceReport(
    name="a", state="ready", replicas=1, ready=1, cores=0, gpus=0.5, node="n", url="u", model="m", since=1.0, detail=""
)
REPORT = BlockReport(
    tasks=TaskCounts(queued=1, done=2), runtimes={"mpi": RuntimeReport(state="ready")}, services=(SERVICE,)
)
GENUINE: list[m.Message] = [
    m.Submit([m.Task(1, SPEC, b"payload", b"request"), m.Task(2, SPEC, LARGE), m.Task(3, b"", SHARED)]),
    m.Cancel([1, 2]), m.Stop(True), m.Serve(1, SERVED, False, True),
    m.Served(1, "ServiceFailed", ["a", "b"]), m.Holds(make_inventory()),
    m.Quit(), m.Recall(1, [2], True), m.Spawn("w", "h", (0,), {"A": "b"}),
    m.Results([m.Result(1, 0, b"x", 0.5), m.Result(2, 0, LARGE)], [LEASE]),
    m.Hello(m.VERSION, "0", "0.1", make_inventory({"labels": frozenset(["n0"])}, shared_memory=True)),
    m.Report(REPORT, [LEASE]), m.Goodbye("done", [1]),
    m.Work(4, "rank", (0, 1), {"A": "b"}, [m.Task(5, b"", LARGE), m.Task(6, b"", b"z")], (0, 1), True),
    m.Ready("h", 7, m.WorldFacts(2)), m.Ready("h", 7, m.ServiceFacts("u", "m", 80)),
    m.Done(3, [m.Result(1, 1, LARGE)]), m.Returned(3, [9]), m.Exited("w", "why", 3),
    m.Failed("WorkerLost", ["a", 1]), Asks([Ask(1, b"q", True)]), Abort([1]), Rendezvous("h", 80),
    Examine(1, (2,)),
    Examined(1, (LaneReport(app="a", runtime="mpi", waiting=1, why="x"),), (TaskPlace(task=2, state="running"),)),
    AskChild(1, 2, SPEC, True), ChildAnswer(1, SPEC, 9, "TooDeep", (1,)), CancelChildren([1, 2]),
    m.SubmitChildren(1, [m.Task(1, SPEC, LARGE), m.Task(2, SPEC, b"a")], True),
    m.ChildrenEnded([m.Result(1, 0, LARGE), m.Result(2, 0, b"b")]),
    Limit(1, {"w": 2}, 4, True), Release(1, "kill"), Exceeded(1, 2),
    door.TunnelOpen(1), door.TunnelData(1, b"GET /"), door.TunnelCredit(0, 9), door.TunnelEnd(1),
    door.DoorRoutes(1, [door.ModelRoutes("a", "b", [door.Route("a-0/1", "u")])], True),
    door.DoorVisits(1, {"a": 1}, {}, ["a-0"], {"a-0/1": 0}),
    door.DoorRequests(ended=[door.DoorRequest(1, "a", "k", "/v1", 2.0, times=RequestTimes(2.5, 0.1, 3, 4, "a-0"))]),
    Pieces(3, [Piece(1, 0, b"x"), Piece(1, 1, LARGE)]), More(1, 2, 3, True),
    ChildPieces([Piece(1, 0, b"x"), Piece(1, 1, LARGE)]), ChildMore(1, 2, 3, True),
]  # fmt: skip
NUMBERS = [0, 1, 0x7F, 0x80, 0xC1, 0xDD, 0xDF, 0xC6, 0xFF]


def mutated(dice: random.Random) -> list[bytes]:
    """Return the frames of a genuine message, damaged in one of the ways in which that happens."""
    frames = [bytes(frame) for frame in encode(dice.choice(GENUINE))]
    for _ in range(dice.randint(1, 3)):
        frames = dice.choice(WAYS)(dice, frames)
    return frames


def _flip(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    return changed(
        dice, frames, lambda _dice, data, at: data[:at] + bytes([data[at] ^ 1 << dice.randint(0, 7)]) + data[at + 1 :]
    )


def _overwrite(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    return changed(dice, frames, lambda _dice, data, at: data[:at] + bytes([dice.choice(NUMBERS)]) + data[at + 1 :])


def _cut(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    return changed(dice, frames, lambda _dice, data, at: data[:at])


def _huge(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    """A list or map that announces four billion items, text of as many bytes."""
    head = dice.choice([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"]) + b"\xff\xff\xff\xff"
    return changed(dice, frames, lambda _dice, data, at: data[:at] + head + data[at + 1 :])


def _deep(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    return changed(dice, frames, lambda _dice, data, at: data[:at] + dice.choice([b"\x91", b"\x81"]) * 3000 + data[at:])


def _splice(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    other = bytes(encode(dice.choice(GENUINE))[0])
    return changed(dice, frames, lambda _dice, data, at: data[:at] + other[dice.randint(0, len(other)) :])


def _retyped(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    """Other values in the places of some fields."""
    odd = [None, -1, 1 << 63, 1.5, float("nan"), "x", b"\xff", [], {}, {"a": 1}, [[1]], True]
    try:
        fields = msgspec.msgpack.decode(frames[0])
    except (msgspec.DecodeError, ValueError, LookupError, RecursionError):
        return frames
    if not isinstance(fields, list) or not fields:
        return frames
    fields[dice.randrange(len(fields))] = dice.choice(odd)
    return [msgspec.msgpack.encode(fields), *frames[1:]]


def _shuffled(dice: random.Random, frames: list[bytes]) -> list[bytes]:
    more = [*frames, *(dice.randbytes(dice.randint(0, 30)) for _ in range(dice.randint(0, 2)))]
    dice.shuffle(more)
    return more[: dice.randint(0, len(more))]


def changed(
    dice: random.Random, frames: list[bytes], change: Callable[[random.Random, bytes, int], bytes]
) -> list[bytes]:
    if not frames:
        return [dice.randbytes(20)]
    which = dice.randrange(len(frames)) if not dice.randrange(5) else 0
    if frames[which]:
        frames[which] = change(dice, frames[which], dice.randrange(min(len(frames[which]), 400)))
    return frames


WAYS: list[Callable[[random.Random, list[bytes]], list[bytes]]] = [
    _flip, _overwrite, _cut, _huge, _deep, _splice, _retyped, _shuffled,
]  # fmt: skip
