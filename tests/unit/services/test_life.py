"""How many replicas a service has, and which of them go; no process is started."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.in_block.context import Placed
from rhapsody_parsl.service_config import CommandService, VLLMService
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Death, Unexplained
from rhapsody_parsl.wire.messages import FromBackend
from testing.leases import FakeLeases
from tests.unit.services.test_services import Block


class Work:
    """A listener whose replicas hold what the test says."""

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}
        self.waiting = 0
        self.left: list[str] = []

    @property
    def pending(self) -> int:
        return self.waiting + sum(self.by_name.values())

    def held(self, replica: Replica) -> int:
        return self.by_name.get(replica.name, 0)

    def keeps(self, replica: Replica) -> bool:
        return False

    def gone(self, replica: Replica) -> None:
        self.left.append(replica.name)

    def changed(self, replica: Replica) -> None:
        """Nothing follows."""

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        return Unexplained(0.0)

    def told(self, answered: bool) -> None:
        """Nothing follows."""

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """Nothing follows."""

    def look(self, now: float) -> None:
        """Nothing follows."""


class Life(Block):
    """One service, whose replicas are ready at once and live until they are stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, leases: FakeLeases | None = None, **fields: Any) -> None:
        made = VLLMService("s", "m", **fields) if "lend_after" in fields else CommandService("s", "x", **fields)
        super().__init__(made, leases=leases)
        self.served, self.work, self.begun = self.by_name["s"], Work(), list[str]()
        self.served.listener = self.work

        async def live(replica: Replica) -> None:
            self.begun.append(replica.name)
            replica._set("ready", "")
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(Replica, "live", live)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def states(self) -> dict[str, str]:
        return {replica.name: replica.state for replica in self.served.replicas}

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            self.served.start()
            await self.settle()
            await story()
            await self.served.stop()

        asyncio.run(told())


def test_those_with_the_least_to_do_leave_and_only_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    leases = FakeLeases()
    life = Life(monkeypatch, leases, replicas=3)

    async def story() -> None:
        life.work.by_name = {"s-0": 1, "s-1": 5, "s-2": 2}
        life.served.serve(1)
        await life.settle()
        assert life.states == {"s-0": "stopping", "s-1": "ready", "s-2": "stopping"}
        (told,) = life.events.told
        assert (told.replicas, told.ready, told.changing) == (1, 1, 2)
        life.work.by_name["s-0"] = 0
        life.served.relieved()
        await life.settle()
        assert life.states == {"s-1": "ready", "s-2": "stopping"}
        assert leases.returned == ["service s[0]"]
        life.served.serve(2)
        await life.settle()
        assert life.states == {"s-0": "ready", "s-1": "ready", "s-2": "stopping"}

    life.run(story)


def test_all_answer_what_was_asked_before_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, replicas=2)

    async def story() -> None:
        life.work.waiting = 5
        life.served.serve(0)
        await life.settle()
        assert set(life.states.values()) == {"ready"}
        assert life.events.told[0].changing == 1
        assert life.served.error is None
        life.work.waiting, life.work.by_name = 0, {"s-1": 1}
        life.served.relieved()
        await life.settle()
        assert set(life.states.values()) == {"ready"}, "one is asked still"
        life.work.by_name.clear()
        life.served.relieved()
        await life.settle()
        assert life.states == {}
        assert "executor.services['s'].start() starts it again" in str(life.served.error)
        assert life.events.told[0].state == "stopped"

    life.run(story)


def test_what_waits_for_its_turn_is_answered_before_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the service had is answered before it is given more."""
    leases = FakeLeases()
    life = Life(monkeypatch, leases)

    async def story() -> None:
        leases.coming = 3
        life.served.serve(0)
        life.served.relieved()
        await life.settle()
        assert life.states == {"s-0": "ready"}
        leases.coming = 0  # they were cancelled: nobody is relieved
        life.served.look(time.monotonic())
        await life.settle()
        assert life.states == {}

    life.run(story)


def test_without_drain_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, replicas=2)

    async def story() -> None:
        life.work.by_name = {"s-0": 1, "s-1": 1}
        life.served.serve(0, drain=False)
        await life.settle()
        assert life.states == {}
        assert set(life.work.left) == {"s-0", "s-1"}

    life.run(story)


def test_replicas_start_again_one_after_the_other_with_the_lease_that_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leases = FakeLeases()
    life = Life(monkeypatch, leases, replicas=2)

    async def story() -> None:
        life.work.by_name = {"s-0": 1}
        life.served.serve(2, renew=True)
        await life.settle()
        assert life.states == {"s-0": "stopping", "s-1": "ready"}
        life.work.by_name = {"s-1": 1}
        life.served.relieved()
        await life.settle()
        assert life.states == {"s-0": "ready", "s-1": "stopping"}
        life.work.by_name.clear()
        life.served.relieved()
        await life.settle()
        assert life.states == {"s-0": "ready", "s-1": "ready"}
        assert life.begun == ["s-0", "s-1", "s-0", "s-1"]
        assert leases.returned == []
        assert life.events.told[0].changing == 0

    life.run(story)


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_one_that_starts_again_is_one_of_those_that_there_are_to_be(
    monkeypatch: pytest.MonkeyPatch, replicas: int
) -> None:
    leases = FakeLeases()
    life = Life(monkeypatch, leases, replicas=1)

    async def story() -> None:
        life.work.by_name = {"s-0": 1}
        life.served.serve(1, renew=True)
        life.served.serve(1, renew=True)
        life.served.serve(replicas)
        await life.settle()
        more = {"s-1": "ready"} if replicas == 2 else {}
        assert life.states == {"s-0": "stopping", **more}
        life.work.by_name.clear()
        life.served.relieved()
        await life.settle()
        assert life.states == {f"s-{number}": "ready" for number in range(replicas)}
        assert len(leases.returned) == (not replicas)
        assert life.served.describe().changing == 0

    life.run(story)


def test_one_without_room_waits_for_it_or_leaves_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    room: list[tuple[Placed, ...]] = [()]
    leases = FakeLeases(lambda *_: room.pop() if room else None)
    life = Life(monkeypatch, leases, replicas=1)

    async def story() -> None:
        life.served.serve(3)
        await life.settle()
        assert life.states == {"s-0": "ready", "s-1": "waiting", "s-2": "waiting"}
        assert life.served.replicas[1].detail == "it waits until 1 cores are free"
        life.served.serve(2)
        await life.settle()
        (borrower,) = leases.wishes
        leases.wishes[borrower](leases.loan(borrower))
        await life.settle()
        assert sorted(life.states.values()) == ["ready", "ready"]
        assert leases.returned == []

    life.run(story)


def test_what_a_block_can_never_hold_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, FakeLeases(most=2), replicas=1)

    async def story() -> None:
        with pytest.raises(ServiceFailed, match=r"no room for 4 replicas \(1 cores each\): it has room for 2 of them"):
            life.served.serve(4)
        assert (life.served.wanted, len(life.served.replicas)) == (1, 1)
        life.served.serve(3)  # one of them has its lease for the block's life
        assert life.served.wanted == 3

    life.run(story)


def test_one_that_dies_while_it_leaves_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, replicas=1)

    async def story() -> None:
        life.work.by_name = {"s-0": 1}
        life.served._replicas.leave(life.served.replicas[0], drain=True)
        await life.settle()
        assert life.states == {"s-0": "stopping"}
        life.work.by_name.clear()  # others are asked
        life.served.replicas[0]._set("stopping", "it died")
        await life.settle()
        assert life.states == {}

    life.run(story)


def test_idle_replicas_above_the_least_number_go_for_those_who_wait_and_come_back_before_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = 4
    leases = FakeLeases(lambda *_: () if room > len(life.served.replicas) - len(leases.wishes) - 1 else None)
    life = Life(monkeypatch, None, replicas=(1, 4), lend_after=5.0, requests_per_replica=2)
    life.services._leases = life.served._replicas._leases = leases
    now = time.monotonic()

    async def story() -> None:
        life.work.waiting = 8
        life.services.look(now)
        await life.settle()
        assert len(life.served.replicas) == 4
        leases.seekers, life.work.waiting, life.work.by_name = 2, 0, {"s-1": 1}
        life.services.look(now + 4)
        assert life.served.wanted == 4, "they have not been idle for long enough"
        life.services.look(now + 6)
        await life.settle()
        assert (life.served.wanted, sorted(life.states)) == (2, ["s-1", "s-3"])
        leases.seekers = 5
        life.services.look(now + 7)
        await life.settle()
        assert list(life.states) == ["s-1"], "the last that is idle may go, for one with work stays"
        nonlocal room
        room, leases.seekers, life.work.waiting = 1, 0, 8
        life.services.look(now + 8)
        await life.settle()
        assert len(leases.wishes) == 3
        assert life.states["s-0"] == "waiting"

    life.run(story)
