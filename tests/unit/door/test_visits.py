"""What is told of requests at the door, on a clock of the test's; and by a door that listens, with its engines."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from rhapsody_parsl.door.refusal import DIED, Refusal
from rhapsody_parsl.door.routing import Seat
from rhapsody_parsl.door.visits import Visits, current
from rhapsody_parsl.wire.door import DoorKey, DoorRequest, DoorRequests, Route, hash_of
from tests.unit.door.standing import Door, within
from tests.unit.door.test_server import all_but_the_end, amidst

SEAT = Seat(Route("m-0/3", "http://here/v1", "n0"))
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Watched:
    """Visits on a clock of their own."""

    def __init__(self, on: bool = True) -> None:
        self.now = 100.0
        self.visits = Visits(on, lambda: self.now, lambda: self.now + 1_000_000)

    def ask(self, seconds: float = 1.0, problem: BaseException | None = None, trace: str = "") -> None:
        """Have a request of which a replica was asked half a second after it came, for so long."""
        alike = suppress(Refusal, asyncio.CancelledError, ConnectionError, ValueError)
        with alike, self.visits.watch("/v1/completions", "carol", trace):
            current().service = "m"
            self.now += 0.5
            current().asked(SEAT)
            self.now += seconds
            if problem:
                raise problem
            current().began(200, b'{"usage": {"prompt_tokens": 7, "completion_tokens": 3}}', stream=False)

    def take(self, **more: Any) -> DoorRequests:
        self.now += 1
        return self.visits.take({}, {}, **more) or DoorRequests()


def test_a_request_is_told_with_all_its_times_once() -> None:
    watched = Watched()
    watched.ask(trace=TRACE)
    (told,) = watched.take().ended
    assert (told.number, told.service, told.key, told.path) == (0, "m", "carol", "/v1/completions")
    assert (told.came, told.waited, told.seconds, told.end, told.status) == (1_000_100.0, 0.5, 1.5, "done", 200)
    assert told.times is not None
    assert (told.times.asked, told.times.first, told.times.replica) == (1_000_100.5, 0.0, "m-0")
    assert (told.times.prompt, told.times.tokens, told.times.counted) == (7, 3, False)
    assert (told.node, told.tries, told.error, told.trace) == ("n0", 1, "", TRACE)
    assert watched.take() == DoorRequests()


@pytest.mark.parametrize(("problem", "end", "error"), [
    (Refusal(429, "too many", "rate_limit_exceeded"), "refused", "rate_limit_exceeded"),
    (Refusal(503, "stopped"), "refused", "HTTP 503"), (Refusal(504, "late", "timeout"), "late", "timeout"),
    (Refusal(500, "three died", DIED), "failed", DIED), (asyncio.CancelledError(), "left", ""),
    (ConnectionResetError(), "left", ""), (ValueError("a \ud800 bug"), "failed", ""),
])  # fmt: skip
def test_how_a_request_ends(problem: BaseException, end: str, error: str) -> None:
    watched = Watched()
    watched.ask(problem=problem)
    (told,) = watched.take().ended
    assert (told.end, told.error) == (end, error)
    assert bool(told.words)
    told.words.encode()


def test_a_trace_that_is_none_is_not_told() -> None:
    watched = Watched()
    watched.ask(trace="00-\udcff")
    assert [each.trace for each in watched.take().ended] == [""]


def test_a_request_that_takes_a_while_is_told_before_it_ends_and_known_again_by_its_number() -> None:
    watched = Watched()
    with watched.visits.watch("/v1/completions", ""):
        watched.now += 0.3
        assert watched.visits.take({}, {}) is None
        watched.now += 0.3
        (begun,) = watched.take().begun
        assert watched.take() == DoorRequests()
    (ended,) = watched.take().ended
    assert (begun.number, ended.number) == (1, 1)
    watched.ask(0.0)
    assert watched.take().ended[0].number == 0, "it was not told before"


def test_they_are_told_in_pieces_and_not_more_often_than_wanted() -> None:
    watched = Watched()
    for _ in range(1200):
        watched.ask(0.0)
    assert [len(watched.take().ended) for _ in range(4)] == [500, 500, 200, 0]
    watched.ask(0.0)
    assert watched.visits.take({}, {}) is not None
    watched.visits._told_at = watched.now
    watched.ask(-0.5)
    assert watched.visits.take({}, {}) is None, "it was told a moment ago"
    assert watched.visits.take({}, {}, at_once=True) is not None


def test_what_nobody_takes_is_no_pile() -> None:
    watched = Watched()
    for _ in range(20_010):
        watched.ask(0.0)
    assert len(watched.visits._ended) == 20_000
    assert watched.take().dropped == 10
    assert watched.take().dropped == 0


def test_how_many_wait_is_told_when_it_changes() -> None:
    watched = Watched()
    watched.now += 1
    told = watched.visits.take({"m": 3}, {"m": 2})
    assert told is not None
    assert (told.waiting, told.answering) == ({"m": 3}, {"m": 2})
    watched.now += 1
    assert watched.visits.take({"m": 3}, {"m": 2}) is None


def test_a_process_that_leaves_tells_what_it_had_not() -> None:
    watched = Watched()
    watched.ask()
    with watched.visits.watch("/v1/completions", ""):
        told = watched.visits.end_all()
    assert told is not None
    assert [each.end for each in told.ended] == ["done", "lost"]
    assert told.gone


def test_without_a_record_nothing_is_told_or_kept() -> None:
    watched = Watched(on=False)
    watched.ask()
    assert watched.take(at_once=True) == DoorRequests()
    assert watched.visits.end_all() is None
    assert (watched.visits._ended, watched.visits._new) == ([], {})


# --- through a door that listens ---------------------------------------------------------------------------------


def told_by(door: Door) -> list[DoorRequest]:
    said = door.visits.take({}, {}, at_once=True)
    return said.ended if said else []


def test_the_door_tells_of_answers_streams_and_errors() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        await door.ask(max_tokens=3)
        for options in (None, {"include_usage": True}):
            asked = {"model": "m", "prompt": "hello", "max_tokens": 4, "stream": True, "stream_options": options}
            async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
                assert b"[DONE]" in await response.read()
        await door.ask(prompt="refuse")
        await door.ask(model="nobody")
        whole, pieces, stream, refused, nobody = told_by(door)
        assert (whole.end, whole.service, whole.status, whole.key) == ("done", "m", 200, "")
        assert [(each.times.tokens, each.times.counted) for each in (whole, pieces, stream) if each.times] == [
            (3, False), (4, True), (4, False),
        ]  # fmt: skip
        assert [bool(each.times and each.times.first) for each in (whole, pieces, stream)] == [False, True, True]
        assert (refused.end, refused.error, refused.words) == ("failed", "HTTP 400", "a bad prompt")
        assert (nobody.end, nobody.error, nobody.service) == ("refused", "model_not_found", "")

    within(test)


def test_the_door_tells_of_clients_that_leave_limits_and_replicas_that_die() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        door.engines["m-0/1"].token = 0.05
        asked = {"model": "m", "prompt": "hello", "max_tokens": 400, "stream": True}
        async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
            await response.content.readany()
        while not (gone := told_by(door)):
            await asyncio.sleep(0.01)
        assert [each.end for each in gone] == ["left"]
        door.keys.update([DoorKey("ann", hash_of("hers"), 1)])
        hers = {"Authorization": "Bearer hers"}
        await door.ask(headers=hers)
        await door.ask(headers=hers)
        assert [(each.key, each.end) for each in told_by(door)] == [("ann", "done"), ("ann", "refused")]
        await door.breaker("m-1/1", amidst)
        door.tell("m-1/1")
        async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
            await response.read()
        (broken,) = told_by(door)
        assert (broken.end, broken.error, broken.status) == ("failed", DIED, 200)
        assert not any("Bearer" in json.dumps(str(each)) for each in gone)

    within(test)


def test_a_client_that_hangs_up_at_the_last_event_has_had_its_answer() -> None:
    async def test(door: Door) -> None:
        await door.breaker("m-0/1", all_but_the_end)
        door.tell("m-0/1")
        asked = {"model": "m", "prompt": "hello", "stream": True}
        async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
            while b"[DONE]" not in await response.content.readany():
                pass
        while not (told := told_by(door)):
            await asyncio.sleep(0.01)
        assert [(each.end, each.words) for each in told] == [("done", "")]
        assert "rhapsody_door_left_total{" not in door.counters.text({}, {})

    within(test)
