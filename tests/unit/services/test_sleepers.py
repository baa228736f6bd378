"""Replicas that are lent and sleep; no process is started, and an engine turns as the test says."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rhapsody_parsl.in_block.context import Placed
from rhapsody_parsl.services.replica import Replica
from testing.leases import FakeLeases
from tests.unit.services.test_life import Life

SLEEP = 100.0


class Night(Life):
    """A model of at most two replicas, both ready and idle, of which one is lent and sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, obeys: bool = True) -> None:
        self.room = 2
        fields: dict[str, Any] = {
            "replicas": (1, 2),
            "lend_after": 5.0,
            "requests_per_replica": 2,
            "idle_timeout": 60.0,
        }
        self.leases, self.turns = FakeLeases(self._lend), list[tuple[str, bool]]()
        super().__init__(monkeypatch, self.leases, gpus=1, sleep=SLEEP, **fields)
        self.now = time.monotonic()

        async def turn(replica: Replica, asleep: bool) -> bool:
            self.turns.append((replica.name, asleep))
            return obeys

        monkeypatch.setattr(Replica, "turn", turn)

    def _lend(self, *_: Any) -> tuple[Placed, ...] | None:
        self.room -= 1
        return () if self.room >= 0 else None

    async def look(self, after: float, waiting: int = 0) -> None:
        self.work.waiting = waiting
        self.services.look(self.now + after)
        await self.settle()

    def pass_by(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            await self.look(0, waiting=4)
            assert self.states == {"s-0": "ready", "s-1": "ready"}
            self.leases.seekers = 1
            await self.look(6)
            self.leases.seekers = 0
            await story()

        self.run(told)


def test_one_that_is_lent_sleeps_and_wakes_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch)

    async def story() -> None:
        assert night.states == {"s-0": "asleep", "s-1": "ready"}
        assert len(night.leases.resting) == 1
        (told,) = night.events.told
        assert (told.ready, told.replicas, told.changing, told.gpus) == (1, 1, 0, 1)
        await night.look(20, waiting=4)
        assert night.states == {"s-0": "ready", "s-1": "ready"}
        assert night.turns == [("s-0", True), ("s-0", False)]
        assert night.begun == ["s-0", "s-1"], "its process is the one that it had"
        assert not night.leases.resting
        assert not night.leases.returned

    night.pass_by(story)


def test_it_finishes_first_what_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch)

    async def story() -> None:
        assert night.turns == [("s-0", True)]
        night.work.by_name["s-1"] = 1
        night.served._number._sleepers.lend(night.served.replicas[1])
        night.served.go_on()
        await night.settle()
        assert night.states["s-1"] == "stopping"
        night.work.by_name.clear()
        night.served.relieved()
        await night.settle()
        assert night.states == {"s-0": "asleep", "s-1": "asleep"}

    night.pass_by(story)


@pytest.mark.parametrize("own", [True, False])
def test_it_wakes_when_its_own_is_free_or_starts_where_there_is_room(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(monkeypatch)
    night.leases.taken = True

    async def story() -> None:
        await night.look(20, waiting=4)
        assert night.states == {"s-0": "waiting", "s-1": "ready"}
        assert night.served.wanted == 2
        loan = night.served.replicas[0].loan
        assert loan is not None
        night.leases.wishes["service s[0]"](loan if own else night.leases.loan("service s[0]"))
        await night.settle()
        assert night.states == {"s-0": "ready", "s-1": "ready"}
        assert night.begun == ["s-0", "s-1", *([] if own else ["s-0"])]
        assert night.leases.returned == ([] if own else ["service s[0]"])
        assert not night.served.replicas[0].resting

    night.pass_by(story)


def test_one_whose_engine_does_not_sleep_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch, obeys=False)

    async def story() -> None:
        assert night.states == {"s-1": "ready"}
        assert night.leases.returned == ["service s[0]"]

    night.pass_by(story)


@pytest.mark.parametrize("called", [False, True])
def test_one_that_dies_asleep_goes_and_starts_again_only_where_it_was_called(
    called: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(monkeypatch)
    night.leases.taken = True

    async def story() -> None:
        replica = night.served.replicas[0]
        if called:
            await night.look(20, waiting=4)
        replica.leaving = True
        replica._set("stopping", "it died")
        await night.settle()
        assert night.states == ({"s-0": "waiting", "s-1": "ready"} if called else {"s-1": "ready"})
        assert night.leases.returned == ["service s[0]"]
        assert replica.loan is None or not called

    night.pass_by(story)


def test_it_does_not_sleep_for_ever_nor_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    for end in ("time", "stop", "restart"):
        night = Night(monkeypatch)

        async def story(night: Night = night, end: str = end) -> None:
            if end == "time":
                await night.look(SLEEP - 1)
                assert night.states["s-0"] == "asleep"
                await night.look(SLEEP + 60)
            else:
                night.served.serve(0 if end == "stop" else (1, 2), renew=end == "restart")
                await night.settle()
            assert "s-0" not in night.states
            assert "service s[0]" in night.leases.returned

        night.pass_by(story)


def test_more_than_there_may_be_do_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch)
    night.leases.taken = True

    async def story() -> None:
        night.room = 1
        for after in (20, 21):
            await night.look(after, waiting=4)
        assert night.states == {"s-1": "ready", "s-2": "ready"}, "there was room for another, which took its place"

    night.pass_by(story)
