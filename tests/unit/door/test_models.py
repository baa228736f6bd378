import asyncio

import pytest

from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.queue import Turn
from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.routing import Seat
from rhapsody_parsl.wire.door import DoorRoutes, ModelRoutes, Route


def models(*services: str, version: int = 1) -> Models:
    made = Models()
    made.update(DoorRoutes(version, [ModelRoutes(name, "key", [Route(f"{name}-0/1", "u")]) for name in services]))
    return made


def test_a_model_is_found_by_its_service_and_by_what_its_replicas_call_it() -> None:
    made = models("a", "b")
    a, b = made
    b.listed = {"llama": {"id": "llama"}, "adapter": {"id": "adapter"}}
    assert (made.find("a"), made.find("b"), made.find("adapter"), made.find("c")) == (a, b, b, None)
    assert (b.known_as("b"), b.known_as("adapter"), a.known_as("a")) == ("llama", "adapter", "a")
    assert [entry["id"] for entry in made.catalogue()] == ["a", "b", "llama", "adapter"]


def test_a_name_that_nobody_has_is_for_the_only_model_that_loads_adapters_by_request() -> None:
    made = models("a", "b")
    a, b = made
    assert made.guessed() is None
    b.adapters, b.listed = True, {"llama": {"id": "llama"}}
    assert made.guessed() is b
    assert (b.known_as("late"), b.known_as("b"), b.known_as("llama")) == ("late", "llama", "llama")
    a.adapters = True
    assert made.guessed() is None, "whose is it?"


def test_a_request_may_leave_out_the_only_model() -> None:
    made = models("a")
    assert made.find(None) is next(iter(made))
    with pytest.raises(Refusal, match="'model' is needed: one of 'a', 'b'"):
        models("a", "b").find(None)
    with pytest.raises(Refusal, match="is needed: one of none"):
        Models().find(7)


def test_an_update_keeps_what_is_known_and_wakes_who_waits() -> None:
    async def run() -> None:
        made = models("a")
        (model,) = made
        model.listed = {"x": {"id": "x"}}
        waiting = asyncio.create_task(made.change(30))
        await asyncio.sleep(0)
        made.update(DoorRoutes(2, [ModelRoutes("a", "key", [], "it was stopped")], closing=True))
        await waiting
        assert list(made) == [model]
        assert (model.refusal, model.router.first(), made.version, made.closing) == ("it was stopped", None, 2, True)
        assert model.listed

    asyncio.run(run())


def test_what_is_held_and_waited_for_is_told_where_there_is_some() -> None:
    made = models("a")
    made.update(DoorRoutes(1, [ModelRoutes("a", "key", [Route("a-0/1", "u")]), ModelRoutes("b", "key", [])]))
    a, b = made
    assert made.held() == made.waiting() == {}

    for model in (a, b, b):
        model.queue.ask(Turn(), 0.0)
    assert (made.held(), made.waiting()) == ({"a-0/1": 1}, {"b": 2})
    made.update(DoorRoutes(2, [ModelRoutes("a", "key", []), ModelRoutes("b", "key", [])]))
    assert made.held() == {"a-0/1": 1}, "it leaves, and has still something to do"


def test_a_replica_that_is_given_to_who_has_just_left_goes_to_the_next() -> None:
    async def run() -> None:
        made = Models()
        made.update(DoorRoutes(1, [ModelRoutes("a", "key", [Route("a-0/1", "u")], in_flight=1)]))
        (model,) = made
        first, leaves, stays = Turn(), Turn(), Turn()
        seat = model.ask(first)
        assert isinstance(seat, Seat)
        leaving, staying = model.ask(leaves), model.ask(stays)
        assert not isinstance(leaving, Seat)
        assert not isinstance(staying, Seat)
        model.ended(seat, first)
        assert leaving.done()
        model.give_up(leaves, leaving)
        assert staying.result() is seat
        assert seat.held == 1

    asyncio.run(run())
