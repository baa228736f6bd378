"""The door's HTTP: who may ask, what there is to ask, and in which shape a refusal comes."""

import hmac
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.passage import Passage
from rhapsody_parsl.door.refusal import Refusal

__all__ = ("PASSED", "application")

PASSED = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings",
    "/v1/score", "/score", "/v1/rerank", "/v2/rerank", "/rerank", "/pooling", "/classify",
    "/tokenize", "/detokenize", "/v1/tokenize", "/v1/detokenize",
)  # fmt: skip
"""What is passed on to replicas."""
_OPEN = ("/health", "/metrics")
_LARGEST = 256 << 20
"""Bytes of a request: images travel in it."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(models: Models, passage: Passage, counters: Counters, key: str) -> web.Application:
    """Return the web application.

    Args:
        models: Those of the block.
        passage: Passes requests on.
        counters: For `/metrics`.
        key: That every request shows, but those for `/health` and `/metrics`.
    """
    wanted = f"Bearer {key}".encode()

    @web.middleware
    async def admit(request: web.Request, handler: _Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").encode()
        try:
            if request.path not in _OPEN and not hmac.compare_digest(shown, wanted):
                raise Refusal(401, "The key is missing or wrong: send 'Authorization: Bearer KEY'", "invalid_api_key")
            return await handler(request)
        except Refusal as refusal:
            return _json(refusal.body(), refusal.status, refusal.headers)
        except web.HTTPException as problem:
            message = f"{request.method} {request.path[:200]}: {problem.reason}"
            return _json(Refusal(problem.status, message).body(), problem.status)

    async def health(request: web.Request) -> web.Response:
        return _json(msgspec.json.encode({"status": "ok", "ready": sum(bool(model.router.first()) for model in models)}))

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=counters.text(models.held(), models.waiting()))

    async def catalogue(request: web.Request) -> web.Response:
        return _json(msgspec.json.encode({"object": "list", "data": models.catalogue()}))

    async def one(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for entry in models.catalogue():
            if entry["id"] == name:
                return _json(msgspec.json.encode(entry))
        raise models.unknown(name)

    app = web.Application(middlewares=[admit], client_max_size=_LARGEST)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/models", catalogue)
    app.router.add_get("/v1/models/{name:.+}", one)
    for path in PASSED:
        app.router.add_post(path, passage.answer)
    return app


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
