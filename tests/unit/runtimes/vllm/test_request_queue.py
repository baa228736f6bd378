"""Requests of a service whose replicas live and die by the test's word; no process is started."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Part, Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.in_block.context import Context, Leases, Node
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.vllm.deaths import Death
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind, root_cause
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.request_queue import RequestQueue
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.front import NoFront
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.wire.engine_messages import Abort, Asks, Pulse
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result, ServiceFacts, ToBackend, failed
from rhapsody_parsl.wire.piece_messages import Piece, Pieces
from testing.leases import FakeLeases
from testing.nodes import make_context

NODE = Node(
    name="n0", host="here", cores=tuple(range(4)), real_cores=(0, 1, 0, 1), gpus=("7", "8"), gpu_vendor="nvidia"
)


class Events:
    """Hears nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def context_of(node: Node = NODE) -> Context:
    return make_context(Path("/nowhere"), Events(), node, python="python")


def make_service(
    config: VLLMService, on_change: Callable[[], None] = lambda: None, leases: Leases | None = None
) -> Service:
    context = context_of()
    hub = Exchange(context, "services", lambda peer, message: None)
    return Service(
        VLLMKind(config, context),
        context,
        leases or FakeLeases(lambda *_: None),
        hub=hub,
        secret="key",  # noqa: S106 - no secret
        on_change=on_change,
    )


class Watched:
    """A service with replicas that are told to be ready."""

    def __init__(self, replicas: int = 2, limit: int = 2, **fields: Any) -> None:
        self.finished, self.given = list[tuple[int, Result]](), list[Any]()
        self.changes = 0
        config = VLLMService("s", model="m", cores=0, replicas=replicas, requests_in_flight=limit, **fields)
        self.service = make_service(config, self._changed)
        self.requests = RequestQueue(self.service, config, self._finish, lambda *told: self.given.append(told))
        self.held: list[list[int]] = [[] for _ in self.service.replicas]
        self.aborted: list[int] = []
        for index, replica in enumerate(self.service.replicas):
            replica.send = partial(self._sent, index)  # type: ignore[method-assign]  # no process

    def _sent(self, index: int, message: ToBackend) -> None:
        match message:
            case Asks(asks=asks):
                self.held[index] += [ask.task for ask in asks]
            case Abort(tasks=tasks):
                self.aborted += tasks
            case _:
                raise AssertionError(message)

    def _finish(self, request: Request, result: Result) -> None:
        self.finished.append((request.task, result))

    def _changed(self) -> None:
        self.changes += 1

    def ready(self, *indices: int) -> None:
        for index in indices:
            self.service.replicas[index].state = "ready"
            self.service.replicas[index].coming = False
            self.service.changed(self.service.replicas[index])

    def dies(self, index: int) -> Death:
        self.held[index].clear()
        replica = self.service.replicas[index]
        replica.state, replica.coming = "starting", True
        death = self.requests.died(replica, ServiceFailed("s", "it died", "words"), "own")
        self.service.changed(replica)
        return death

    def put(self, *tasks: int, body: bytes = b"") -> None:
        self.requests.put([request(task, body) for task in tasks])

    def answer(self, index: int, *tasks: int) -> None:
        self.requests.answered(self.service.replicas[index], [Result(task, RESULT, b"") for task in tasks])


@pytest.mark.parametrize(("policy", "told"), [("priority", [-3, 0, 2]), ("fcfs", [0, 0, 0])])
def test_an_engine_that_orders_by_priority_is_told_it(policy: str, told: list[int]) -> None:
    watched = Watched(replicas=1, limit=8, engine_args={"scheduling_policy": policy})
    asked: list[Any] = []
    watched.service.replicas[0].send = asked.append  # type: ignore[assignment, method-assign]  # no process
    watched.ready(0)
    for number, priority in enumerate((-3.0, 0.0, 2.4)):
        watched.requests.put([Request(number, 1, "s", full=False, policy=PolicyValue(priority=priority))])
    assert [ask.priority for message in asked for ask in message.asks] == told


def test_a_replica_that_is_silent_for_too_long_while_it_holds_requests_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost: list[tuple[str, str]] = []
    monkeypatch.setattr(Replica, "lose", lambda replica, reason: lost.append((replica.name, reason)))
    now = time.monotonic()
    watched = Watched(stall_timeout=100.0)
    watched.ready(0, 1)
    watched.put(1, 2, 3)
    watched.requests.look(now)
    watched.answer(1, 2)
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    watched.requests.heard(watched.service.replicas[0], Pulse())
    watched.requests.look(now + 150)
    assert not lost, "one showed a sign of life, and the other holds nothing"
    watched.requests.look(now + 161)
    assert lost == [("s-0", "its process showed no sign of life within stall_timeout=100 s, with 2 requests in flight")]


def test_a_replica_that_is_silent_with_requests_of_the_front_door_alone_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost: list[tuple[str, str]] = []
    monkeypatch.setattr(Replica, "lose", lambda replica, reason: lost.append((replica.name, reason)))
    now = time.monotonic()
    watched = Watched(stall_timeout=100.0)
    watched.service.front = Front()
    watched.ready(0)
    for index, replica in enumerate(watched.service.replicas):
        replica.peer = f"s-{index}/1"
    worked = watched.service.replicas[0].worked_at
    watched.requests.look(now)
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    watched.requests.heard(watched.service.replicas[0], Pulse())
    assert watched.service.replicas[0].worked_at == worked, "a sign of life is no work"
    watched.requests.look(now + 150)
    assert not lost, "one showed a sign of life, and the other is not ready"
    watched.requests.look(now + 161)
    assert lost == [("s-0", "its process showed no sign of life within stall_timeout=100 s, with 3 requests in flight")]


class Front(NoFront):
    """A door that has three requests with each replica."""

    def held(self, replica: str) -> int:
        return 3


def request(task: int, body: bytes = b"", priority: float = 0.0) -> Request:
    """Return a request, one of its own if nothing else is said."""
    made = Request(task, 1, "s", full=False, policy=PolicyValue(priority=priority))
    made.body = body or str(task).encode()
    return made


def test_requests_wait_for_a_replica_and_each_answer_makes_room() -> None:
    watched = Watched()
    watched.put(1, 2, 3, 4, 5)
    assert watched.held == [[], []]
    watched.ready(0, 1)
    assert watched.held == [[1, 2], [3, 4]]
    watched.answer(0, 1)
    assert watched.held == [[1, 2, 5], [3, 4]]
    assert [task for task, _ in watched.finished] == [1]


def test_a_replica_that_comes_later_takes_the_urgent_of_those_that_wait_behind_the_full_one() -> None:
    watched = Watched()
    watched.ready(0)
    watched.requests.put([request(task, priority=priority) for task, priority in ((1, 0), (2, 0), (3, 0), (4, -1))])
    assert watched.held == [[4, 1], []]
    watched.requests.put([request(5, priority=-2)])
    watched.ready(1)
    assert watched.held == [[4, 1], [5, 2]]


def test_what_a_dead_replica_held_is_asked_again_and_the_culprit_fails_alone() -> None:
    watched = Watched(replicas=1, limit=8)
    watched.ready(0)
    watched.put(1, 2, 3)
    deaths = []
    while watched.held[0]:
        if 2 in watched.held[0]:
            deaths.append(watched.dies(0))
            watched.ready(0)
        else:
            held = list(watched.held[0])
            watched.held[0].clear()
            watched.answer(0, *held)
    ends = dict(watched.finished)
    assert sorted(ends) == [1, 2, 3]
    assert [ends[task].kind for task in (1, 3)] == [RESULT, RESULT]
    name, facts = msgspec.msgpack.decode(ends[2].payload)  # type: ignore[arg-type]  # bytes
    assert (name, facts) == ("RequestKilledEngine", ["s", len(deaths), "it died", "words"])
    assert all(death.excused for death in deaths)


def kill(watched: Watched, poison: set[int]) -> int:
    """Have engines die under these requests and answer all others; return how many died."""
    deaths = 0
    while any(watched.held):
        for index, held in enumerate(watched.held):
            if poison.intersection(held):
                deaths += 1
                watched.dies(index)
                watched.ready(index)
            else:
                watched.held[index] = []
                watched.answer(index, *held)
    return deaths


def test_a_hundred_copies_of_a_request_that_kills_cost_no_more_engines_than_one() -> None:
    watched = Watched(replicas=1, limit=256)
    watched.ready(0)
    watched.put(*range(100), body=b"poison")
    watched.put(200, 201)
    assert kill(watched, set(range(100))) == 4
    watched.put(100, body=b"poison")
    assert kill(watched, {100}) == 0
    ends = dict(watched.finished)
    assert len(watched.finished) == len(ends) == 103
    names = [msgspec.msgpack.decode(ends[task].payload)[0] for task in range(101)]  # type: ignore[arg-type]  # bytes
    assert set(names) == {"RequestKilledEngine"}
    assert [ends[task].kind for task in (200, 201)] == [RESULT, RESULT]


def test_copies_that_come_while_one_is_under_suspicion_wait_for_it() -> None:
    watched = Watched(replicas=2, limit=8)
    watched.ready(0, 1)
    watched.put(1, body=b"same")
    watched.put(2)
    watched.dies(0)
    dropped = request(4, b"same")
    watched.put(3, body=b"same")
    watched.requests.put([dropped])
    watched.requests.drop([dropped])
    watched.ready(0)
    assert watched.held == [[1], [2]]
    assert kill(watched, set()) == 0
    assert [task for task, _ in watched.finished] == [1, 2, 3]


def test_copies_in_flight_elsewhere_fail_with_the_one_that_is_found() -> None:
    watched = Watched(replicas=2, limit=8)
    watched.ready(0, 1)
    watched.put(1, 2, body=b"poison")
    assert watched.held == [[1], [2]]
    for _ in range(3):
        watched.dies(0)
        watched.ready(0)
    assert sorted(task for task, _ in watched.finished) == [1, 2]
    assert watched.aborted == [2]


def test_a_service_without_hope_ends_copies_too() -> None:
    watched = Watched(replicas=1, limit=8)
    watched.ready(0)
    watched.put(1, 2, 3, body=b"same")
    watched.dies(0)
    watched.service.replicas[0].give_up(ServiceFailed("s", "gone"))
    assert sorted(task for task, _ in watched.finished) == [1, 2, 3]


def test_answers_prove_that_a_replica_works() -> None:
    watched = Watched(replicas=1)
    replica = watched.service.replicas[0]
    watched.ready(0)
    replica.restarts.died(watched.dies(0))
    assert replica.restarts.counted(time.monotonic()) == 1
    watched.ready(0)
    watched.put(1)
    watched.answer(0, 1)
    assert replica.restarts.counted(time.monotonic()) == 0


def test_a_service_without_hope_ends_what_waits_and_what_is_under_suspicion() -> None:
    watched = Watched()
    watched.ready(0)
    watched.put(1)
    watched.dies(0)
    watched.put(2)
    watched.service.replicas[0].give_up(ServiceFailed("s", "one"))
    assert watched.finished == []
    watched.service.replicas[1].give_up(ServiceFailed("s", "two"))
    assert [(task, result.kind) for task, result in sorted(watched.finished)] == [(1, FAILED), (2, FAILED)]
    assert watched.service.error is not None
    assert watched.service.describe().state == "failed"


def test_a_dropped_request_leaves_from_anywhere() -> None:
    watched = Watched(replicas=1, limit=1)
    requests = [request(task) for task in (1, 2, 3)]
    watched.requests.put(requests)
    watched.ready(0)
    watched.requests.drop(requests[1:2])
    assert watched.held == [[1]]
    assert watched.aborted == []
    watched.requests.drop(requests[:1])
    assert watched.held == [[1, 3]]
    assert watched.aborted == [1]


def test_people_and_tasks_see_different_things() -> None:
    watched = Watched(replicas=2)
    assert watched.service.address() is None
    assert watched.service.describe().state == "starting"
    replica = watched.service.replicas[1]
    replica.facts = ServiceFacts("http://here:1/v1", "s", 1)
    watched.ready(1)
    assert watched.service.address() == {"model": "s", "secret": "key"}
    shown = watched.service.describe()
    assert (shown.state, shown.ready, shown.url) == ("ready", 1, "http://here:1/v1")
    assert "key" not in msgspec.structs.astuple(shown)


def test_a_lease_that_does_not_fit_is_a_failure_with_what_was_wanted() -> None:
    service = make_service(VLLMService("s", model="m", cores=3, gpus=1))
    assert "no room left for replica 0 (3 cores, 1 GPUs)" in str(service.error)


def test_a_replica_over_several_nodes_borrows_of_each_and_says_so_when_there_are_too_few() -> None:
    asked: list[Resources] = []

    def refuse(borrower: str, wants: TaskSpec, key: str) -> None:
        asked.append(wants.resources)
        assert wants.runtime == "vllm"

    wide = VLLMService("s", "m", cores=3, gpus=2, nodes=2, memory=8, engine_args={"tensor_parallel_size": 4})
    service = make_service(wide, leases=FakeLeases(refuse))
    (resources,) = asked
    assert (resources.num_nodes, resources.ranks_per_node) == (2, 1)
    assert resources.part(1) == Part(cores=3, gpus=2, gpu_unit=2, memory=8, ranks=1)
    assert "no room left for replica 0 (3 cores, 2 GPUs, 8 GB on each of 2 nodes; the block has 1)" in str(
        service.error
    )


def test_an_error_as_a_result() -> None:
    result = failed(3, ServiceFailed("s", "why"))
    assert result.id == 3
    assert isinstance(result.payload, bytes)
    assert msgspec.msgpack.decode(result.payload) == ["ServiceFailed", ["s", "why", ""]]


def test_the_root_cause_is_the_last_exception_that_says_something() -> None:
    log = (
        "(EngineCore pid=1) ERROR 11-25 00:04:26 [core.py:1510] ValueError: No memory for the cache\n"
        "Process EngineCore:\n  File x\nValueError: No memory for the cache\n"
        "RuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    assert root_cause(log) == "ValueError: No memory for the cache"
    assert root_cause("(Worker_0 pid=12) ERROR 1 [a.py:1] torch.OutOfMemoryError: none left\n") == (
        "torch.OutOfMemoryError: none left"
    )
    assert root_cause("all is well\n  ValueError: quoted\n") == ""


def test_parts_of_answers_go_to_those_who_still_want_them() -> None:
    service = Watched()
    service.put(1)
    replica, pieces = service.service.replicas[0], [Piece(task, 0, b"a") for task in (1, 2, 1)]
    service.requests.heard(replica, Pieces(0, pieces))
    ((asked, given, say),) = service.given
    assert (asked.task, given, say) == (1, pieces[::2], replica.send)


def test_requests_of_one_moment_go_in_one_message_unless_they_are_large() -> None:
    made = Watched(replicas=1, limit=300)
    made.ready(0)
    sent: list[list[int]] = []
    made.service.replicas[0].send = lambda message: sent.append([ask.task for ask in message.asks])  # type: ignore[method-assign, union-attr]  # no process
    made.put(*range(200))
    made.put(200, 201, 202, body=bytes(600 << 10))
    assert sent == [list(range(200)), [200], [201], [202]]
