"""The ways to ask a service beside text at once: embeddings, scores and streams, by app, by door, and at its engine."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec
from parsl import python_app

from benchmarks.library.apps import ask
from rhapsody_parsl import RhapsodyExecutor, service, stream

__all__ = ("Way", "ways")

_EVENT = b"data: {"


class Way:
    """How a service is asked; all requests of a call are under way at once.

    Args:
        send: Answers all of these: `(key, contents)`.
        listen: Returns the moments at which the pieces of one answer came: `(prompt, tokens)`.
    """

    def __init__(self, send: Callable[[str, Sequence[Any]], None], listen: Callable[[str, int], list[float]]) -> None:
        self._send, self._listen = send, listen

    def rate(self, key: str, contents: Sequence[Any]) -> float:
        """Return requests per second: `key` is `embed` or `score`."""
        began = time.perf_counter()
        self._send(key, contents)
        return len(contents) / (time.perf_counter() - began)

    def pieces(self, prompt: str, tokens: int) -> tuple[float, float]:
        """Return milliseconds until the first piece of a stream, and between two, the median."""
        began = time.perf_counter()
        came = self._listen(prompt, tokens)
        gaps = [later - earlier for earlier, later in itertools.pairwise(came)]
        return (came[0] - began) * 1e3, statistics.median(gaps) * 1e3


@python_app
def where(name: str) -> tuple[str, str]:
    """Return the address and the key of a replica's own server."""
    found = service(name)
    return found.url, found.secret


def ways(executor: RhapsodyExecutor, name: str) -> dict[str, Way]:
    """Return the three ways to a service."""
    url, secret = where(name).result()
    direct = _Http(url, secret, name)
    door = _Http(executor.openai_url(), executor.openai_key, name)
    return {
        "direct": Way(direct.send, direct.listen),
        "door": Way(door.send, door.listen),
        "apps": Way(_by_app(name), _stream_of(name)),
    }


def _by_app(name: str) -> Callable[[str, Sequence[Any]], None]:
    def send(key: str, contents: Sequence[Any]) -> None:
        spec = {"service": name, "ask": key}
        for future in [ask(content, parsl_resource_specification=spec) for content in contents]:
            future.result()

    return send


def _stream_of(name: str) -> Callable[[str, int], list[float]]:
    def listen(prompt: str, tokens: int) -> list[float]:
        spec = {"service": name, "max_tokens": tokens, "ignore_eos": True, "stream": True}
        return [time.perf_counter() for _ in stream(ask(prompt, parsl_resource_specification=spec))]

    return listen


class _Http:
    """A client of an OpenAI-compatible address that costs as little as it can."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self._url, self._model = url, model
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, key: str, contents: Sequence[Any]) -> None:
        asyncio.run(self._send(key, contents))

    def listen(self, prompt: str, tokens: int) -> list[float]:
        return asyncio.run(self._listen(prompt, tokens))

    async def _send(self, key: str, contents: Sequence[Any]) -> None:
        path = "embeddings" if key == "embed" else "score"
        bodies = [self._body(_content(key, content)) for content in contents]
        async with self._session() as session:
            await asyncio.gather(*(self._post(session, path, body) for body in bodies))

    async def _post(self, session: aiohttp.ClientSession, path: str, body: bytes) -> None:
        async with session.post(f"{self._url}/{path}", data=body) as answer:
            msgspec.json.decode(await answer.read())
            answer.raise_for_status()

    async def _listen(self, prompt: str, tokens: int) -> list[float]:
        body = self._body({"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "stream": True})
        async with self._session() as session, session.post(f"{self._url}/completions", data=body) as answer:
            return [time.perf_counter() async for line in answer.content if line.startswith(_EVENT)]

    def _body(self, asked: dict[str, Any]) -> bytes:
        return msgspec.json.encode({"model": self._model, **asked})

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=self._headers, connector=aiohttp.TCPConnector(limit=0))


def _content(key: str, content: Any) -> dict[str, Any]:
    return {"input": content} if key == "embed" else {"queries": content[0], "documents": content[1]}
