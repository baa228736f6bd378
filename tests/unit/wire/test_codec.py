from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.wire import door, messages
from rhapsody_parsl.wire import value_messages as v
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.codec import INLINE_LIMIT, Codec, encode
from rhapsody_parsl.wire.engine_messages import Abort, Adapters, Ask, Asks, Pulse, Rendezvous, Sleep, Turned, Wake
from rhapsody_parsl.wire.examination import Examine, Examined, LaneReport, TaskPlace
from rhapsody_parsl.wire.leases import LeaseRecord, Share
from rhapsody_parsl.wire.mail_messages import OpenMailbox, Rested
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.memory_messages import Exceeded, Limit, Release
from rhapsody_parsl.wire.messages import (
    Done,
    FromBackend,
    FromPilot,
    Results,
    Stop,
    Submit,
    Task,
    ToBackend,
    ToPilot,
    Work,
)
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More, Piece, Pieces
from rhapsody_parsl.wire.reports import BlockReport, Inventory, NodeFacts, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.states import Outcome, RuntimeState, ServiceState, TaskState
from rhapsody_parsl.wire.times import RequestTimes, TaskTimes
from rhapsody_parsl.wire.totals import Totals
from rhapsody_parsl.wire.turn_messages import LendCores, TakeCores
from rhapsody_parsl.wire.use import GpuUse, NodeUse, Used

m = messages
numbers = st.integers(0, 2**63 - 1)
sizes = st.sampled_from([0, 1, INLINE_LIMIT - 1, INLINE_LIMIT, INLINE_LIMIT + 1, 3 * INLINE_LIMIT])
payloads = st.binary(max_size=40) | st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.integers(0, 255))
names = st.text(max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
takes = st.lists(st.tuples(names, numbers), max_size=2).map(tuple)
tasks = st.lists(st.builds(Task, numbers, st.binary(max_size=20), payloads, st.binary(max_size=20), takes), max_size=5)
seconds = st.floats(0, 1e9)
requests = st.none() | st.builds(RequestTimes, seconds, seconds, numbers, numbers, names, st.booleans())
results = st.lists(
    st.builds(messages.Result, numbers, st.integers(0, 3), payloads, seconds, seconds, requests), max_size=5
)
times = st.lists(st.builds(TaskTimes, seconds, seconds, numbers, numbers, numbers), max_size=5)
cores = st.lists(st.integers(0, 500), max_size=4).map(tuple)
shares = st.lists(st.builds(Share, names, cores, cores, seconds), max_size=2).map(tuple)
leases = st.lists(
    st.builds(LeaseRecord, numbers, names, names, shares, seconds, seconds, numbers),
    max_size=2,
)  # fmt: skip
some = st.integers(0, 1 << 32)
amounts = st.floats(0, 1 << 32)
nodes = st.builds(
    NodeFacts, name=names, cores=some, gpus=amounts, memory=amounts, labels=st.frozensets(names, max_size=3)
)
inventories = st.builds(
    Inventory, python=names, nodes=st.lists(nodes, min_size=1, max_size=2).map(tuple), cores=some.map(lambda n: n or 1),
    shared_memory=st.booleans(), host=names, runtimes=st.lists(names, max_size=2).map(tuple),
)  # fmt: skip
ended = dict.fromkeys(get_args(Outcome), numbers)
totals = st.builds(Totals, **ended)
runtimes = st.builds(
    RuntimeReport, state=st.sampled_from(get_args(RuntimeState)), detail=names, running=numbers, **ended
)
services = st.builds(
    ServiceReport, name=names, state=st.sampled_from(get_args(ServiceState)), replicas=numbers, ready=numbers,
    cores=numbers, gpus=seconds, node=names, url=names, model=names, since=seconds, detail=names, requests=totals,
    changing=numbers,
)  # fmt: skip
reports = st.builds(
    BlockReport, tasks=st.builds(TaskCounts, queued=numbers, running=numbers, **ended),
    runtimes=st.dictionaries(names, runtimes, max_size=2), services=st.lists(services, max_size=2).map(tuple),
    lost_nodes=st.lists(names, max_size=2).map(tuple), waits=st.dictionaries(names, numbers, max_size=2),
)  # fmt: skip
facts = st.none() | st.builds(m.WorldFacts, numbers) | st.builds(m.ServiceFacts, names, names, numbers)
ids = st.lists(numbers, max_size=4)
lanes = st.builds(
    LaneReport, app=names, runtime=names, service=names, asks=names, waiting=numbers, running=numbers,
    prefetched=numbers, oldest=seconds, why=names,
)  # fmt: skip
places = st.builds(
    TaskPlace, task=numbers, state=st.sampled_from(get_args(TaskState)), app=names, runtime=names,
    nodes=st.lists(names, max_size=2).map(tuple), worker=names,
)  # fmt: skip
uses = st.dictionaries(
    names,
    st.builds(NodeUse, cpu=seconds, memory=seconds, gpus=st.lists(
        st.builds(GpuUse, busy=seconds, memory=seconds), max_size=2).map(tuple)),
    max_size=2,
)  # fmt: skip
env = st.dictionaries(names, names, max_size=3)
modes = st.sampled_from(["call", "process", "prompt", "rank", "together"])
routes = st.lists(st.builds(door.Route, names, names), max_size=2)
models = st.builds(door.ModelRoutes, names, names, routes, names)
keys = st.builds(door.DoorKey, names, names, numbers, numbers)
held = st.dictionaries(names, numbers, max_size=2)
asked = st.lists(
    st.builds(
        door.DoorRequest, numbers, names, names, names, seconds, seconds, seconds, st.integers(0, 5), numbers,
        requests, names, numbers,
        names, names, names,
    ),
    max_size=2,
)  # fmt: skip
copies = st.lists(st.builds(v.Copied, names, payloads), max_size=3)
KINDS: dict[type, st.SearchStrategy[Any]] = {
    m.Submit: st.builds(m.Submit, tasks), m.Cancel: st.builds(m.Cancel, ids), m.Stop: st.builds(m.Stop, st.booleans()),
    m.Hello: st.builds(m.Hello, numbers, names, names, inventories),
    m.Results: st.builds(m.Results, results, leases, times, st.tuples(seconds, seconds)),
    m.Report: st.builds(m.Report, reports, leases),
    m.Serve: st.builds(m.Serve, numbers, st.binary(), st.booleans(), st.booleans()),
    m.Served: st.builds(m.Served, numbers, names, st.lists(plain, max_size=3)),
    m.Holds: st.builds(m.Holds, inventories),
    Examine: st.builds(Examine, numbers, ids.map(tuple)),
    Examined: st.builds(
        Examined, numbers, st.lists(lanes, max_size=2).map(tuple), st.lists(places, max_size=2).map(tuple)
    ),
    m.Goodbye: st.builds(m.Goodbye, names, ids), Used: st.builds(Used, uses, seconds),
    m.Work: st.builds(m.Work, numbers, modes, cores, env, tasks, cores, st.booleans()),
    m.Recall: st.builds(m.Recall, numbers, ids, st.booleans()), m.Quit: st.builds(m.Quit),
    m.Kill: st.builds(m.Kill, names),
    m.Spawn: st.builds(m.Spawn, names, names, cores, env),
    Asks: st.builds(Asks, st.lists(st.builds(Ask, numbers, st.binary(), st.booleans()), max_size=3)),
    Abort: st.builds(Abort, ids), Pulse: st.just(Pulse()), Sleep: st.just(Sleep()), Wake: st.just(Wake()),
    Turned: st.just(Turned()), Adapters: st.builds(Adapters, st.none() | st.dictionaries(names, names)),
    m.Ready: st.builds(m.Ready, names, numbers, facts),
    m.Done: st.builds(m.Done, numbers, results), m.Returned: st.builds(m.Returned, numbers, ids),
    m.Exited: st.builds(m.Exited, names, names), m.Failed: st.builds(m.Failed, names, st.lists(plain, max_size=3)),
    AskChild: st.builds(AskChild, numbers, numbers, st.binary(), st.booleans()),
    ChildAnswer: st.builds(
        ChildAnswer, numbers, st.binary(), numbers, names, st.lists(plain, max_size=3).map(tuple), st.booleans()
    ),
    LendCores: st.builds(LendCores, numbers), TakeCores: st.builds(TakeCores, numbers, numbers),
    CancelChildren: st.builds(CancelChildren, ids),
    m.SubmitChildren: st.builds(m.SubmitChildren, numbers, tasks, st.booleans()),
    m.ChildrenEnded: st.builds(m.ChildrenEnded, results),
    m.Deliver: st.builds(m.Deliver, tasks, names, st.booleans()), m.Answered: st.builds(m.Answered, names, results),
    OpenMailbox: st.builds(OpenMailbox, numbers, numbers, names), Rested: st.builds(Rested, names),
    Rendezvous: st.builds(Rendezvous, names, numbers),
    Limit: st.builds(Limit, numbers, st.dictionaries(names, numbers, max_size=3), numbers, st.booleans()),
    Release: st.builds(Release, numbers, st.sampled_from(["continue", "stay", "kill"])),
    Exceeded: st.builds(Exceeded, numbers, numbers), More: st.builds(More, numbers, numbers, numbers, st.booleans()),
    ChildMore: st.builds(ChildMore, numbers, numbers, numbers, st.booleans()),
    ChildPieces: st.builds(ChildPieces, st.lists(st.builds(Piece, numbers, numbers, payloads), max_size=3)),
    Pieces: st.builds(Pieces, numbers, st.lists(st.builds(Piece, numbers, numbers, payloads), max_size=3)),
    door.TunnelOpen: st.builds(door.TunnelOpen, numbers), door.TunnelEnd: st.builds(door.TunnelEnd, numbers),
    door.TunnelData: st.builds(door.TunnelData, numbers, payloads),
    door.TunnelCredit: st.builds(door.TunnelCredit, numbers, numbers),
    door.DoorKeys: st.builds(door.DoorKeys, st.lists(keys, max_size=2)),
    door.DoorRoutes: st.builds(door.DoorRoutes, numbers, st.lists(models, max_size=2), st.booleans()),
    door.DoorLoads: st.builds(door.DoorLoads, held),
    door.DoorVisits: st.builds(door.DoorVisits, numbers, held, held, st.lists(names, max_size=2), held),
    door.DoorRequests: st.builds(door.DoorRequests, asked, asked, held, held, numbers, names),
    v.AskValue: st.builds(v.AskValue, numbers, names), v.WantValue: st.builds(v.WantValue, names, st.booleans()),
    v.ValueHere: st.builds(v.ValueHere, numbers, names), v.ValueLeft: st.builds(v.ValueLeft, names),
    v.ValuesCame: st.builds(v.ValuesCame, copies, st.dictionaries(names, names), st.lists(names, max_size=3)),
    v.DropValues: st.builds(v.DropValues, st.lists(names, max_size=3), st.booleans(), st.lists(numbers, max_size=3)),
    v.HoldValue: st.builds(v.HoldValue, numbers, names, numbers, names, st.booleans(), numbers, st.booleans()),
    v.FreeValues: st.builds(v.FreeValues, numbers, st.dictionaries(names, numbers, max_size=3), st.booleans()),
    v.PinValue: st.builds(v.PinValue, names, st.booleans()),
    v.FindValue: st.builds(v.FindValue, numbers, numbers, names),
    v.RestValues: st.builds(v.RestValues, names, st.lists(st.tuples(names, numbers), max_size=3)),
}  # fmt: skip
VOCABULARIES = [m.ToPilot, m.FromPilot, m.ToBackend, m.FromBackend]


def test_every_message_is_tested() -> None:
    assert {kind for vocabulary in VOCABULARIES for kind in vocabulary.__args__} <= set(KINDS)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_round_trip(vocabulary: Any) -> None:
    codec: Codec[Any] = Codec(vocabulary)

    @settings(max_examples=100, deadline=None)
    @given(st.one_of([KINDS[kind] for kind in vocabulary.__args__]))
    def check(message: Any) -> None:
        frames = encode(message)
        assert codec.decode(frames) == message
        assert codec.decode([memoryview(frame) for frame in frames]) == message, "as the socket may hand them over"

    check()


@pytest.mark.parametrize(("size", "frames"), [(INLINE_LIMIT, 1), (INLINE_LIMIT + 1, 2)])
def test_large_payloads_travel_in_frames_of_their_own(size: int, frames: int) -> None:
    payload = b"x" * size
    encoded = encode(Submit([Task(1, b"", payload), Task(2, b"", b"small")]))
    assert len(encoded) == frames
    assert frames == 1 or encoded[1] is payload, "not copied"


@pytest.mark.parametrize(("vocabulary", "frames"), [
    (ToPilot, [b""]), (ToPilot, [b"\xc1"]), (ToPilot, encode(Results([]))), (ToBackend, encode(Done(1, []))),
    (FromBackend, encode(Work(1, "call", (), {}, []))), (ToPilot, [*encode(Submit([])), b""][::-1]),
    (ToPilot, []), (ToPilot, encode(Submit([Task(1, b"", 0)]))), (ToPilot, [*encode(Submit([Task(1, b"", 1)])), b""]),
    (ToPilot, [*encode(Submit([Task(1, b"", -1)])), b""]), (ToPilot, [*encode(Stop()), b""]),
    (FromPilot, [b"\x92\xa6Report" + b"\x81\xa1a" * 5000]), (FromPilot, [b"\x92\xa6Report\x81\xa1\xff\x01"]),
    (FromPilot, [b"\x95\xa5Hello\x02\xa10\xa1p\x80"]), (FromPilot, [b"\x92\xa8Returned\xdd\xff\xff\xff\xff\x01"]),
])  # fmt: skip
def test_what_is_no_message_of_this_side_is_refused(vocabulary: Any, frames: list[bytes]) -> None:
    with pytest.raises(MalformedFrame):
        Codec(vocabulary).decode(frames)
