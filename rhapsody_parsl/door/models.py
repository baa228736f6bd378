"""The models of a block: by which names requests ask for them, and who answers. No I/O; the loop's events alone."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rhapsody_parsl.door.deaths import Deaths
from rhapsody_parsl.door.queue import Queue, Turn
from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.wire.door import DoorRoutes, ModelRoutes

__all__ = ("Model", "Models")

_NOT_FOUND = "model_not_found"


class Model:
    """A model that a service of the block serves.

    Attributes:
        service: The service's name, by which requests may always ask for it.
        secret: The key of its replicas.
        router: Its replicas.
        queue: The requests that wait for one.
        deaths: The replicas that died of late.
        alone_since: Since when no replica has been there, on the monotonic clock; None while one is.
        listed: What they say of their models, by the names that they know; adapters, too.
        refusal: Why nobody need wait for a replica, or "".
        adapters: Whether its replicas load adapters that nobody has named before.
    """

    def __init__(self, service: str) -> None:
        self.service, self.secret, self.refusal, self.adapters = service, "", "", False
        self.router = Router()
        self.queue, self.deaths = Queue(self.router, service), Deaths()
        self._seats: dict[Turn, asyncio.Future[Seat]] = {}
        self.alone_since: float | None = time.monotonic()
        self.listed: dict[str, Any] = {}

    def update(self, told: ModelRoutes) -> None:
        """The pilot told how it is."""
        self.secret, self.refusal, self.adapters = told.secret, told.refusal, told.adapters
        now = time.monotonic()
        self.alone_since = None if told.routes else self.alone_since or now
        self.router.most, self.queue.most = told.in_flight, told.waiting
        self.router.update(told.routes)
        for turn in self.queue.take_all() if told.refusal else ():
            self._seats.pop(turn).set_exception(Refusal(503, told.refusal))
        self.serve()

    def share(self, held: Mapping[str, int]) -> None:
        """Apps have so many requests with its replicas, where they have some."""
        self.router.share(held)
        self.serve()

    def ask(self, turn: Turn) -> "Seat | asyncio.Future[Seat]":
        """Return the replica of a request, or the future that is done with it.

        Args:
            turn: The request's.

        Raises:
            Refusal: Too many wait; the future, too, when the model is stopped.
        """
        if seat := self.queue.ask(turn, time.monotonic()):
            return seat
        self._seats[turn] = future = asyncio.get_running_loop().create_future()
        self.serve()
        return future

    def serve(self) -> None:
        """Give replicas that have room to those who wait."""
        for turn, seat in self.queue.served(time.monotonic()):
            self._seats.pop(turn).set_result(seat)

    def give_up(self, turn: Turn, future: "asyncio.Future[Seat]") -> None:
        """A request waits no more; it may have a replica all the same, since a moment."""
        self.queue.leave(turn)
        self._seats.pop(turn, None)
        if future.done() and not future.exception():
            self.ended(future.result(), turn)

    def ended(self, seat: Seat, turn: Turn) -> None:
        """A replica has a request less, and room for the next."""
        self.router.ended(seat, turn.suspect)
        self.serve()

    def known_as(self, name: str) -> str:
        """Return what its replicas call what a request asks for: they may not know the service's name."""
        as_it_is = name in self.listed or not self.listed or (self.adapters and name != self.service)
        return name if as_it_is else next(iter(self.listed))


class Models:
    """All models of a block.

    Attributes:
        version: Of what the pilot told last.
        closing: Whether the block is about to leave.
    """

    def __init__(self) -> None:
        self.version, self.closing = 0, False
        self._models: dict[str, Model] = {}
        self._answered: set[str] = set()
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Model]:
        return iter(list(self._models.values()))

    def update(self, told: DoorRoutes) -> None:
        """The pilot told how all are."""
        self.version, self.closing = told.version, told.closing
        services = {one.service: one for one in told.models}
        self._models = {name: self._models.get(name) or Model(name) for name in services}
        for name, model in self._models.items():
            model.update(services[name])
        self.wake()

    def share(self, held: Mapping[str, int]) -> None:
        """Apps have so many requests with the replicas, where they have some."""
        for model in self:
            model.share(held)

    def wake(self) -> None:
        """Have all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, seconds: float) -> None:
        """Wait for the next change, so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def find(self, name: Any) -> Model | None:
        """Return the model that a request asks for; the only one where it names none.

        Raises:
            Refusal: It names none, and there are several.
        """
        if name is None and len(self._models) == 1:
            return next(iter(self._models.values()))
        if not isinstance(name, str):
            raise Refusal(400, f"'model' is needed: one of {self._names()}")
        found = self._models.get(name)
        return found or next((model for model in self._models.values() if name in model.listed), None)

    def guessed(self) -> Model | None:
        """Return whom to ask for a name that nobody has: the only model that loads adapters by request, or None."""
        loading = [model for model in self._models.values() if model.adapters]
        return loading[0] if len(loading) == 1 else None

    def unknown(self, name: str) -> Refusal:
        """Return the answer to who asks for a model that is not there."""
        return Refusal(404, f"The model '{name}' does not exist in this block. There are {self._names()}", _NOT_FOUND)

    def catalogue(self) -> list[Mapping[str, Any]]:
        """Return all as OpenAI lists models: under the services' names first, then as the replicas call them."""
        own = [_entry(model) for model in self._models.values()]
        names = {entry["id"] for entry in own}
        theirs = [entry for model in self._models.values() for name, entry in model.listed.items() if name not in names]
        return [*own, *theirs]

    def held(self) -> dict[str, int]:
        """Return how many requests each replica has, where it has some."""
        return {seat.replica: seat.held for model in self._models.values() for seat in model.router if seat.held}

    def waiting(self) -> dict[str, int]:
        """Return how many requests wait for a replica, by service, where some do."""
        return {model.service: len(model.queue) for model in self._models.values() if model.queue}

    def answered(self, replica: str) -> None:
        """A replica answered a request.

        Args:
            replica: The name that it keeps when it starts anew.
        """
        self._answered.add(replica)

    def take_answered(self) -> list[str]:
        """Return the replicas that have answered since this was asked last."""
        answered, self._answered = sorted(self._answered), set()
        return answered

    def suspicions(self) -> dict[str, int]:
        """Return which deaths of replicas requests explain, or may yet; see `Deaths`."""
        return {name: one for model in self._models.values() for name, one in model.deaths.suspicions.items()}

    def answering(self) -> dict[str, int]:
        """Return how many requests replicas have, by service, where they have some."""
        counts = {model.service: sum(seat.held for seat in model.router) for model in self._models.values()}
        return {service: count for service, count in counts.items() if count}

    def _names(self) -> str:
        names: Sequence[str] = [entry["id"] for entry in self.catalogue()]
        return ", ".join(f"'{name}'" for name in names) or "none"


def _entry(model: Model) -> dict[str, Any]:
    named: dict[str, Any] = model.listed.get(model.service) or next(iter(model.listed.values()), {})
    return {"object": "model", "created": 0, "owned_by": "rhapsody_parsl", **named, "id": model.service}
