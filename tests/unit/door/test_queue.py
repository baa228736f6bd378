"""Requests that wait at the door because every replica has as many as it takes, over HTTP and with engines of ours."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rhapsody_parsl.door.call import PRIORITY_HEADER, TIMEOUT_HEADER
from testing.streaming_openai import Engine
from tests.unit.door.standing import Door, within

Answer = tuple[int, Any, Any]


async def until(met: Callable[[], Any]) -> None:
    while not met():
        await asyncio.sleep(0.005)


def waiting(door: Door) -> int:
    return door.models.waiting().get("m", 0)


async def busy(door: Door, replica: str = "m-0/1", most: int = 1) -> Engine:
    """Have a replica that takes so many requests, which are slow as long as `token` says so."""
    door.in_flight = most
    engine = await door.engine(replica)
    engine.token = 0.005
    door.tell(*door.urls)
    await door.ask()
    return engine


async def asking(door: Door, count: int, **more: Any) -> list["asyncio.Task[Answer]"]:
    """Have requests at the door, one after the other."""
    out = []
    for _ in range(count):
        before = waiting(door) + sum(door.models.held().values())
        out.append(asyncio.create_task(door.ask(**more)))
        await until(lambda: waiting(door) + sum(door.models.held().values()) > before)  # noqa: B023 - called here only
    return out


def test_a_replica_that_comes_takes_what_waits_behind_the_full_ones() -> None:
    async def test(door: Door) -> None:
        first = await busy(door, most=2)
        tasks = await asking(door, 6, **LONG)
        await until(lambda: first.counts["running"] == 2)
        assert (door.models.held(), waiting(door)) == ({"m-0/1": 2}, 4)
        second = await door.engine("m-1/1")
        second.token = first.token
        door.tell(*door.urls)
        await until(lambda: second.counts["running"] == 2)
        assert (first.counts["running"], waiting(door)) == (2, 2)
        await gone(*tasks)
        await until(lambda: not door.models.held())

    within(test)


async def gone(*tasks: "asyncio.Task[Answer]") -> None:
    """Have these clients hang up."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


LONG: dict[str, Any] = {"max_tokens": 100_000}
"""Of an answer that no test waits for."""


def order_of(headers: list[dict[str, str]], bodies: list[dict[str, Any]]) -> list[int]:
    """Return in which order requests are answered that wait behind one."""
    done: list[int] = []

    def note(number: int, _: "asyncio.Task[Answer]") -> None:
        done.append(number)

    async def test(door: Door) -> None:
        await busy(door)
        (first,) = await asking(door, 1, **LONG)
        tasks = []
        for number, (header, body) in enumerate(zip(headers, bodies, strict=True)):
            (task,) = await asking(door, 1, headers=header, **body)
            task.add_done_callback(partial(note, number))
            tasks.append(task)
        await gone(first)
        assert {(await task)[0] for task in tasks} == {200}

    within(test)
    return done


def test_who_came_first_is_served_first() -> None:
    assert order_of([{}] * 4, [{}] * 4) == [0, 1, 2, 3]


def test_the_lower_priority_is_served_first_by_header_or_as_vllm_has_it_in_the_body() -> None:
    headers = [{}, {PRIORITY_HEADER: "2.5"}, {PRIORITY_HEADER: "-1"}, {}, {PRIORITY_HEADER: "7"}]
    assert order_of(headers, [{}, {}, {}, {"priority": -2}, {"priority": -9}]) == [3, 2, 0, 1, 4]


@pytest.mark.parametrize("name", [PRIORITY_HEADER, TIMEOUT_HEADER])
@pytest.mark.parametrize("text", ["soon", "nan", "inf"])
def test_a_header_that_is_no_number_is_refused(name: str, text: str) -> None:
    async def test(door: Door) -> None:
        await busy(door)
        status, _, answer = await door.ask(headers={name: text})
        assert (status, answer["error"]["message"]) == (400, f"{name}: {text!r} is no number")

    within(test)


def test_more_than_may_wait_are_told_to_come_again() -> None:
    async def test(door: Door) -> None:
        door.waiting = 2
        await busy(door)
        tasks = await asking(door, 3, **LONG)
        status, headers, answer = await door.ask()
        assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "5", "queue_full")
        assert "2 requests wait for model 'm', its requests_waiting=2" in answer["error"]["message"]
        await gone(*tasks)
        assert (await door.ask())[0] == 200

    within(test)


def test_a_client_that_goes_while_it_waits_never_reaches_an_engine() -> None:
    async def test(door: Door) -> None:
        engine = await busy(door)
        (first,) = await asking(door, 1, **LONG)
        leaving, last = await asking(door, 2)
        await gone(leaving)
        await until(lambda: waiting(door) == 1)
        await gone(first)
        assert (await last)[0] == 200
        assert (engine.counts["done"], engine.counts["aborted"]) == (2, 1)

    within(test)


@pytest.mark.parametrize("waits", [True, False])
def test_an_answer_that_does_not_begin_in_time_is_given_up_and_ends_in_the_engine(waits: bool) -> None:
    async def test(door: Door) -> None:
        engine = await busy(door)
        tasks = await asking(door, int(waits), **LONG)
        status, _, answer = await door.ask(headers={TIMEOUT_HEADER: "0.2"}, **LONG)
        assert (status, answer["error"]["code"]) == (504, "timeout")
        assert f"within {TIMEOUT_HEADER}: 0.2 s" in answer["error"]["message"]
        assert (waiting(door), sum(door.models.held().values())) == (0, int(waits))
        await until(lambda: engine.counts["aborted"] == (not waits))
        if tasks:
            await gone(*tasks)

    within(test)


def test_who_waits_for_a_busy_replica_waits_longer_than_for_one_that_is_not_there() -> None:
    async def test(door: Door) -> None:
        await busy(door)
        (first,) = await asking(door, 1, **LONG)
        patient, last = await asking(door, 2)
        await asyncio.sleep(0.3)
        assert not patient.done()
        await gone(first)
        assert [(await task)[0] for task in (patient, last)] == [200, 200]
        (first,) = await asking(door, 1, **LONG)
        (last,) = await asking(door, 1)
        door.tell()
        status, _, answer = await last
        assert status == 503
        assert "none came within openai_wait=0.1 s" in answer["error"]["message"]
        assert not first.done(), "the replica finishes what it has begun"
        await gone(first)

    within(test, wait=0.1)


def test_those_who_wait_for_a_model_that_is_stopped_are_told_so() -> None:
    async def test(door: Door) -> None:
        await busy(door)
        first, second, third = await asking(door, 3, **LONG)
        door.tell(refusal="it was stopped")
        assert {(await task)[0] for task in (second, third)} == {503}
        assert not first.done()
        await gone(first)

    within(test)


def test_a_request_whose_replica_dies_is_before_those_that_came_later() -> None:
    async def test(door: Door) -> None:
        dying = asyncio.Event()

        async def die(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await dying.wait()

        door.in_flight = 1
        await door.breaker("m-0/1", die)
        door.tell("m-0/1")
        first, second = await asking(door, 2)
        done: list[int] = []
        first.add_done_callback(lambda _: done.append(1))
        second.add_done_callback(lambda _: done.append(2))
        dying.set()
        await until(lambda: waiting(door) == 2)
        await door.engine("m-1/1")
        door.tell("m-1/1")
        await asyncio.wait([first, second])
        assert done == [1, 2]

    within(test)


def test_a_replica_that_is_back_serves_those_who_wait() -> None:
    async def test(door: Door) -> None:
        door.urls["m-0/1"] = "http://127.0.0.1:1/v1"
        door.tell("m-0/1")
        asked = asyncio.create_task(door.ask())
        await until(lambda: waiting(door) == 1)
        seat = door.models.find("m").router.first()  # type: ignore[union-attr]  # it is there
        await door.engine("m-1/1")
        seat.url = door.urls["m-1/1"]  # type: ignore[union-attr]  # as above
        assert (await asked)[0] == 200

    within(test)
