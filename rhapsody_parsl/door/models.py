"""The models of a block: by which names requests ask for them, and who answers. No I/O; the loop's events alone."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.routing import Router
from rhapsody_parsl.wire.door import DoorRoutes, ModelRoutes

__all__ = ("Model", "Models")

_NOT_FOUND = "model_not_found"


class Model:
    """A model that a service of the block serves.

    Attributes:
        service: The service's name, by which requests may always ask for it.
        secret: The key of its replicas.
        router: Its replicas.
        listed: What they say of their models, by the names that they know; adapters, too.
        refusal: Why nobody need wait for a replica, or "".
        adapters: Whether its replicas load adapters that nobody has named before.
        waiting: How many requests wait for one.
    """

    def __init__(self, service: str) -> None:
        self.service, self.secret, self.refusal, self.adapters = service, "", "", False
        self.router = Router()
        self.listed: dict[str, Any] = {}
        self.waiting = 0

    def update(self, told: ModelRoutes) -> None:
        """The pilot told how it is."""
        self.secret, self.refusal, self.adapters = told.secret, told.refusal, told.adapters
        self.router.update(told.routes)

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
        return {model.service: model.waiting for model in self._models.values() if model.waiting}

    def _names(self) -> str:
        names: Sequence[str] = [entry["id"] for entry in self.catalogue()]
        return ", ".join(f"'{name}'" for name in names) or "none"


def _entry(model: Model) -> dict[str, Any]:
    named: dict[str, Any] = model.listed.get(model.service) or next(iter(model.listed.values()), {})
    return {"object": "model", "created": 0, "owned_by": "rhapsody_parsl", **named, "id": model.service}
