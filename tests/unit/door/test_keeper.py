"""What the pilot knows of the door's requests; no process is started, the test says what one would say."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.door.keeper import Door
from rhapsody_parsl.in_block.context import Node
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.service_config import CommandService, ServiceConfig, VLLMService
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Unexplained
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.door import DoorLoads, DoorRequest, DoorRequests, DoorRoutes, DoorVisits, Route
from rhapsody_parsl.wire.messages import Ready, ServiceFacts, ToBackend
from testing.leases import FakeLeases
from testing.nodes import make_context
from tests.unit.services.test_services import PlainKind

NODE = Node(name="n0", host="here", cores=(0, 1), real_cores=(0, 1))


class Kept:
    """A door whose process is the test, or a real one.

    Args:
        folder: Of the block.
        monkeypatch: None for a real process.

    Attributes:
        told: What the process was told.
        loads: What it was told of the requests of apps.
        requests: What the driver is told of requests.
        idle: How often the pilot was told that nothing is left.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch | None) -> None:
        self.told: list[DoorRoutes] = []
        self.loads: list[dict[str, int]] = []
        self.idle = 0
        context = make_context(folder, self, NODE, environment={})
        configs: list[ServiceConfig] = [VLLMService("m", "x", cores=0, replicas=2), CommandService("web", "x", cores=0)]

        def make(config: ServiceConfig) -> Kind:
            return VLLMKind(config, context) if isinstance(config, VLLMService) else PlainKind(config)

        self.block = Services(make, configs, context, FakeLeases())
        self.requests: list[DoorRequests] = []
        self.door = Door(context, self.block, key="key", wait=1.0, on_idle=self._idle, record=self.requests.append)
        self.block.stand_behind(self.door)
        if monkeypatch:
            monkeypatch.setattr(self.door, "_live", self._never)
        self.service, self.web = self.block
        self.service._started = self.block._started = True  # without a process of a replica's

    async def _never(self) -> None:
        await asyncio.Event().wait()

    @property
    def leaving(self) -> tuple[bool, int]:
        """Whether the door is busy, and how often the pilot was told that it is not."""
        return self.door.busy, self.idle

    def _idle(self) -> None:
        self.idle += 1

    def _hear(self, peer: str, message: ToBackend) -> None:
        if isinstance(message, DoorLoads):
            self.loads.append(message.held)
        else:
            assert isinstance(message, DoorRoutes)
            self.told.append(message)

    def services(self, services: Any) -> None:
        """People are told."""

    def ready(self, index: int) -> None:
        replica = self.service.replicas[index]
        replica.peer, replica.facts = f"m-{index}/1", ServiceFacts(f"http://here:{index}/v1", "x", index)
        replica._set("ready", "")

    def open(self) -> None:
        """The process is there."""
        self.door._peer = "door/1"
        hub = self.door._hub
        assert hub is not None
        hub.send = self._hear  # type: ignore[method-assign]  # the test's
        self.door._receive("door/1", Ready("here", 1))

    def visits(self, **held: int) -> None:
        """The process says what it has, by the last it was told."""
        named = {name.replace("_", "-") + "/1": count for name, count in held.items()}
        self.door._receive("door/1", DoorVisits(self.told[-1].version, named, {}))


def within(folder: Path, monkeypatch: Any, test: Callable[[Kept], Coroutine[Any, Any, None] | None]) -> None:
    async def run() -> None:
        kept = Kept(folder, monkeypatch)
        kept.block._changed()
        try:
            if waits := test(kept):
                await waits
        finally:
            await kept.door.stop()

    asyncio.run(run())


def test_the_address_is_known_before_the_process_is_there(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        address = kept.door.address()
        assert address == {"base_url": f"http://127.0.0.1:{kept.door.port}/v1", "api_key": "key"}
        assert not kept.told

    within(tmp_path, monkeypatch, test)


def test_the_process_is_told_who_answers_and_who_leaves(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        kept.ready(0)
        kept.open()
        kept.ready(1)
        assert [route.replica for route in kept.told[-1].models[0].routes] == ["m-0/1", "m-1/1"]
        kept.service.replicas[0].leave()
        assert kept.told[-1].models[0].routes == [Route("m-1/1", "http://here:1/v1", "n0")]

    within(tmp_path, monkeypatch, test)


def test_the_process_gives_nothing_to_a_replica_that_is_kept_until_it_is_no_more(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def test(kept: Kept) -> None:
        kept.service.listener = listener = Listener({"m-0": 1, "m-1": 0})  # type: ignore[assignment]  # as below
        kept.ready(0)
        kept.ready(1)
        kept.open()
        for names in ({"m-0"}, set[str]()):
            listener.kept = names
            kept.door.changed()
            told = {route.replica: route.kept for route in kept.told[-1].models[0].routes}
            assert told == {"m-0/1": "m-0" in names, "m-1/1": False}

    within(tmp_path, monkeypatch, test)


def test_the_process_is_told_what_of_its_replicas_apps_have(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        held = {"m-0": 3, "m-1": 0}
        kept.service.listener = Listener(held)  # type: ignore[assignment]  # no more is asked
        for index in (0, 1):
            kept.service.replicas[index].peer = f"m-{index}/1"
        kept.ready(0)
        kept.open()
        for count in (3, 3, 5, 0):
            held["m-0"] = count
            kept.door.look()
        assert kept.loads == [{"m-0/1": 3}, {"m-0/1": 5}, {}]

    within(tmp_path, monkeypatch, test)


class Listener:
    """Holds what the test says."""

    def __init__(self, by_name: dict[str, int]) -> None:
        self._by_name = by_name
        self.heard = list[bool]()
        self.kept = set[str]()

    def held(self, replica: Replica) -> int:
        return self._by_name[replica.name]

    def keeps(self, replica: Replica) -> bool:
        return replica.name in self.kept

    def changed(self, replica: Replica) -> None:
        """Nothing follows."""

    def told(self, answered: bool) -> None:
        self.heard.append(answered)


def test_a_replica_counts_as_busy_until_the_process_is_known_to_give_it_nothing_more(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def test(kept: Kept) -> None:
        for index in (0, 1):
            kept.ready(index)
        kept.open()
        kept.visits(m_0=2)
        assert (kept.door.held("m-0/1"), kept.door.held("m-1/1"), kept.door.pending("m")) == (2, 0, 2)
        kept.door.changed()
        assert kept.door.held("m-1/1") == 1, "it may have got something meanwhile"
        kept.visits()
        assert kept.door.held("m-1/1") == kept.door.pending("m") == 0

    within(tmp_path, monkeypatch, test)


def test_the_deaths_of_a_replica_count_no_more_once_it_has_answered_at_the_door(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def test(kept: Kept) -> None:
        kept.open()
        first, second = kept.service.replicas
        for replica in (first, second):
            for _ in range(5):
                replica.restarts.died(Unexplained(100.0))
        kept.door._receive("door/1", DoorVisits(1, {}, {}, ["m-0"]))
        assert (first.restarts.counted(100.0), second.restarts.counted(100.0)) == (0, 5)
        assert (first.restarts.wait(100.0), second.restarts.wait(100.0) > 0) == (0.0, True)

    within(tmp_path, monkeypatch, test)


def test_who_gives_requests_of_apps_hears_which_deaths_requests_of_the_door_explain(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def test(kept: Kept) -> None:
        kept.open()
        kept.service.listener = listener = Listener({"m-0": 0, "m-1": 0})  # type: ignore[assignment]  # all that is asked
        assert not kept.door.deaths
        kept.door._receive("door/1", DoorVisits(1, {}, {}, [], {"m-0/1": 0}))
        assert (kept.service.front.deaths, listener.heard) == ({"m-0/1": 0}, [False])
        kept.door._receive("door/1", DoorVisits(1, {}, {}, ["m-1"]))
        assert (kept.service.front.deaths, listener.heard) == ({}, [False, True])

    within(tmp_path, monkeypatch, test)


def test_who_gives_requests_of_apps_hears_when_the_process_is_gone_with_its_own(
    tmp_path: Path, monkeypatch: Any
) -> None:
    def test(kept: Kept) -> None:
        kept.ready(0)
        kept.open()
        kept.visits(m_0=1)
        kept.service.listener = listener = Listener({"m-0": 0, "m-1": 0})  # type: ignore[assignment]  # all that is asked
        kept.door._forget("signal 9")
        assert (listener.heard, kept.door.held("m-0/1")) == ([False], 0)

    within(tmp_path, monkeypatch, test)


def test_a_command_has_nothing_to_wait_for(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        kept.ready(0)
        kept.open()
        kept.door.changed()
        assert kept.door.held("m-0/1") == 1, "nobody knows yet"
        (replica,) = kept.web.replicas
        assert kept.web.held(replica) == kept.web.pending == 0

    within(tmp_path, monkeypatch, test)


def test_a_block_that_leaves_waits_for_the_answers(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        kept.ready(0)
        kept.open()
        kept.visits()
        assert kept.leaving == (False, 0)
        kept.door.drain()
        assert kept.told[-1].closing
        assert kept.leaving == (True, 0), "nobody knows yet"
        kept.visits(m_0=1)
        assert kept.leaving == (True, 0)
        kept.visits()
        assert kept.leaving == (False, 1)

    within(tmp_path, monkeypatch, test)


def test_what_the_process_says_of_requests_is_passed_on_and_its_end_after_it(tmp_path: Path, monkeypatch: Any) -> None:
    def test(kept: Kept) -> None:
        kept.open()
        said = DoorRequests(begun=[DoorRequest(1, "m", "carol", "/v1/completions", 5.0)])
        kept.door._receive("door/1", said)
        kept.door._receive("door/0", said)
        kept.door._forget("signal 9")
        assert kept.requests == [said, DoorRequests(gone="the front door's process is gone: signal 9")]

    within(tmp_path, monkeypatch, test)
