"""The door's HTTP: who may ask, what there is to ask, and in which shape a refusal comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.keys import Holder, Keys
from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.passage import Passage
from rhapsody_parsl.door.refusal import Refusal, error_of
from rhapsody_parsl.door.visits import Visits

__all__ = ("PASSED", "Server")

PASSED = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings",
    "/v1/score", "/score", "/v1/rerank", "/v2/rerank", "/rerank", "/pooling", "/classify",
    "/tokenize", "/detokenize", "/v1/tokenize", "/v1/detokenize",
)  # fmt: skip
"""What is passed on to replicas."""
_OPEN = ("/health", "/metrics")
_MOMENT = 0.25
"""Seconds."""
_LARGEST = 256 << 20
"""Bytes of a request: images travel in it."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """The web application.

    Args:
        models: Those of the block.
        passage: Passes requests on.
        counters: For `/metrics`.
        keys: Of which every request shows one, but those for `/health` and `/metrics`.
        visits: Take note of each request.
    """

    def __init__(self, models: Models, passage: Passage, counters: Counters, keys: Keys, *, visits: Visits) -> None:
        self._models, self._passage, self._counters, self._keys = models, passage, counters, keys
        self._visits = visits

    def application(self) -> web.Application:
        """Return it as aiohttp serves it."""
        app = web.Application(middlewares=[self._admit], client_max_size=_LARGEST)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._catalogue)
        app.router.add_get("/v1/models/{name:.+}", self._one)
        for path in PASSED:
            app.router.add_post(path, self._passage.answer)
        return app

    @web.middleware
    async def _admit(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Ask for the key, and give a refusal its shape."""
        try:
            if request.path in _OPEN:
                return await handler(request)
            holder = await self._holder_of(request)
            if request.path not in PASSED:
                return await handler(request)
            trace = request.headers.get("Traceparent", "")
            with self._visits.watch(request.path, holder.key.name, trace):
                return await self._within_limits(holder, request, handler)
        except Refusal as refusal:
            return _json(refusal.content, refusal.status, refusal.headers)
        except web.HTTPException as problem:
            text = f"{request.method} {request.path[:200]}: {problem.reason}"
            return _json(error_of(problem.status, text), problem.status)

    async def _within_limits(self, holder: Holder, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Return what the handler answers.

        Raises:
            Refusal: The key's limits do not allow it.
        """
        now = time.monotonic()
        if refusal := holder.refusal(now):
            await self._passage.recognise(request)
            raise refusal
        with holder.asking(now):
            return await handler(request)

    async def _holder_of(self, request: web.Request) -> Holder:
        """Return who shows a key.

        Raises:
            Refusal: A stranger.
        """
        shown = request.headers.get("Authorization", "")
        holder = self._keys.holder(shown)
        if holder is None and shown:  # a key may come here a moment after its owner has it
            await self._models.change(_MOMENT)
            holder = self._keys.holder(shown)
        if holder is None:
            raise Refusal(401, "The key is missing or wrong: send 'Authorization: Bearer KEY'", "invalid_api_key")
        return holder

    async def _health(self, request: web.Request) -> web.Response:
        ready = sum(model.router.first() is not None for model in self._models)
        return _json({"status": "ok", "models_ready": ready})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self._counters.text(self._models.held(), self._models.waiting()))

    async def _entries(self) -> list[Mapping[str, Any]]:
        """Return what there is to ask: adapters come and go, and only the replicas know when."""
        await asyncio.gather(*map(self._passage.learn, self._models))
        return self._models.catalogue()

    async def _catalogue(self, request: web.Request) -> web.Response:
        return _json({"object": "list", "data": await self._entries()})

    async def _one(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for entry in await self._entries():
            if entry["id"] == name:
                return _json(entry)
        raise self._models.unknown(name)


def _json(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(content)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
