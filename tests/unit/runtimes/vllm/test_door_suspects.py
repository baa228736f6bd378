"""Requests at the front door that kill engines: the door's half of the books, and the pilot's, without a process."""

import itertools
import time

import pytest

from rhapsody_parsl.door.deaths import Deaths
from rhapsody_parsl.services.front import NoFront
from rhapsody_parsl.wire.messages import RESULT
from tests.unit.runtimes.vllm.test_request_queue import Watched


class Keeper(NoFront):
    """The pilot's half of a front door, as long as a request is there that kills whom it is given to."""

    def __init__(self) -> None:
        self.suspicions, self.own, self.convicted = Deaths(), set[str](), False
        self.with_it = ""
        self.changes = self.waiting = 0

    def changed(self) -> None:
        self.changes += 1

    def held(self, replica: str) -> int:
        return replica == self.with_it

    def pending(self, service: str) -> int:
        return self.waiting + bool(self.with_it)

    @property
    def deaths(self) -> dict[str, int]:
        return self.suspicions.suspicions

    def kills(self, replica: str) -> None:
        self.with_it = ""
        self.suspicions.died(replica, self.own, 0.0)
        self.convicted = self.suspicions.convict(self.own)


@pytest.mark.parametrize("first", ["pilot", "door"])
def test_a_request_at_the_door_that_kills_the_only_engine_is_found_and_none_of_its_deaths_count(first: str) -> None:
    watched = Watched(replicas=1, restarts=3)
    watched.service.front = keeper = Keeper()
    (replica,) = watched.service.replicas
    for start in itertools.count(1):
        replica.last = keeper.with_it = f"s-0/{start}"
        watched.ready(0)
        if first == "door":
            keeper.kills(replica.last)
        replica.restarts.died(watched.dies(0))
        assert replica.restarts.counted(time.monotonic()) == 0
        if first == "pilot":
            keeper.kills(replica.last)
        watched.requests.told(answered=False)
        assert replica.restarts.counted(time.monotonic()) == 0
        if keeper.convicted:
            break
    assert start == 6
    watched.requests.told(answered=False)
    assert replica.restarts.wait(time.monotonic()) == 0, "the service goes on"
    for start in range(7, 11):
        replica.last = f"s-0/{start}"
        watched.ready(0)
        replica.restarts.died(watched.dies(0))
    assert replica.restarts.wait(time.monotonic()) > 0, "these are its own"


def test_a_request_of_an_app_is_tried_without_the_one_at_the_door_that_kills() -> None:
    watched = Watched(replicas=1, restarts=9)
    watched.service.front = keeper = Keeper()
    (replica,) = watched.service.replicas
    watched.put(1)
    tried = 0
    for start in itertools.count(1):
        replica.last = replica.peer = f"s-0/{start}"
        watched.ready(0)
        if watched.requests.keeps(replica):
            assert watched.held == [[1]], "the door gives it nothing meanwhile"
            tried += 1
            watched.held[0].clear()
            watched.answer(0, 1)
            assert not watched.requests.keeps(replica), "it is the door's again"
        keeper.with_it = replica.peer
        watched.dies(0)
        keeper.kills(replica.peer)
        watched.requests.told(answered=False)
        if keeper.convicted:
            break
    assert [(task, result.kind) for task, result in watched.finished] == [(1, RESULT)]
    assert (tried, start) == (1, 6)


def test_suspects_wait_until_the_door_has_nothing_with_their_replica() -> None:
    watched = Watched(replicas=1)
    watched.service.front = keeper = Keeper()
    (replica,) = watched.service.replicas
    watched.ready(0)
    watched.put(1)
    watched.dies(0)
    replica.peer = keeper.with_it = "s-0/2"
    watched.ready(0)
    assert (watched.held, watched.requests.keeps(replica)) == ([[]], True)
    assert keeper.changes == 1, "it is told at once"
    watched.put(2)
    watched.requests.told(answered=False)
    assert watched.held == [[]], "neither it nor what came later"
    keeper.with_it = ""
    watched.requests.told(answered=True)
    assert watched.held == [[1]]
    watched.answer(0, 1)
    assert watched.held == [[1, 2]]
    assert keeper.changes == 2


def test_requests_at_the_door_have_their_turn_between_the_suspects_of_the_only_replica() -> None:
    watched = Watched(replicas=1, limit=4)
    watched.service.front = keeper = Keeper()
    (replica,) = watched.service.replicas
    replica.peer = "s-0/1"
    watched.ready(0)
    watched.put(1, 2)
    watched.dies(0)
    keeper.waiting = 1
    watched.ready(0)
    assert watched.held == [[1]], "two groups"
    watched.held[0].clear()
    watched.answer(0, 1)
    watched.requests.told(answered=False)
    assert (watched.held, watched.requests.keeps(replica)) == ([[]], False), "the door's turn"
    keeper.waiting, keeper.with_it = 0, replica.peer
    watched.put(3)
    assert (watched.held, watched.requests.keeps(replica)) == ([[3]], True), "it empties itself"
    watched.held[0].clear()
    watched.answer(0, 3)
    assert watched.held == [[]]
    keeper.with_it = ""
    watched.requests.told(answered=True)
    assert watched.held == [[2]]


def test_requests_at_the_door_have_their_turn_between_engines_that_die_of_the_same_suspect() -> None:
    watched = Watched(replicas=1)
    watched.service.front = keeper = Keeper()
    (replica,) = watched.service.replicas
    replica.peer = "s-0/1"
    keeper.waiting = 1
    watched.ready(0)
    watched.put(1)
    tried = []
    for _ in range(2):
        watched.dies(0)
        watched.ready(0)
        tried.append(watched.requests.keeps(replica))
        if not tried[-1]:
            keeper.waiting, keeper.with_it = 0, replica.peer
            watched.requests.told(answered=False)
            assert (watched.held, watched.requests.keeps(replica)) == ([[]], True)
            keeper.waiting, keeper.with_it = 1, ""
            watched.requests.told(answered=True)
        assert watched.held == [[1]]
    assert tried == [True, False]
