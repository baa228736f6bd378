"""An OpenAI-compatible server for tests and benchmarks, with what an engine has: streams, slots, and a prefix cache.

    python streaming_openai.py HOST PORT API_KEY MODEL

It says `max_tokens` times the word `tok`, or five times for a prompt `say 5`, one per `ENGINE_TOKEN` seconds. Each
prompt of a list has an answer of its own. Before the first it reads the prompt, in
`ENGINE_READ` seconds per 256 characters that are not in its cache of `ENGINE_CACHE` such blocks. So many requests as
`ENGINE_SLOTS` are worked on at once. `/health` tells without a key what it does and did, as JSON.
"""

import asyncio
import json
import os
import re
import sys
import zlib
from collections import OrderedDict
from typing import Any

from aiohttp import web

COMMAND = (sys.executable, __file__, "{host}", "{port}", "{api_key}", "{model}")
"""For a service that is given its command."""
BLOCK = 256


def _setting(name: str, default: float) -> float:
    return float(os.environ.get(f"ENGINE_{name}", default))


class Engine:
    """Answers, slowly if told so.

    Attributes:
        counts: Requests that `run`, were `done` or `aborted`; blocks of prompts that were `hits` in the cache, and not.
    """

    def __init__(self, key: str, model: str) -> None:
        self.key, self.model = key, model
        self.slots = asyncio.Semaphore(int(_setting("SLOTS", 64)))
        self.token, self.read = _setting("TOKEN", 0.0), _setting("READ", 0.0)
        self.cache: OrderedDict[int, None] = OrderedDict()
        self.counts = {"running": 0, "done": 0, "aborted": 0, "hits": 0, "misses": 0}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        if request.path == "/health":
            return web.json_response({"pid": os.getpid(), **self.counts})
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "no key"}}, status=401)
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})
        asked = await request.json()
        if aside := self._aside(request, asked):
            return aside
        self.counts["running"] += 1
        try:
            response = await self._work(request, asked)
        except asyncio.CancelledError:
            self.counts["aborted"] += 1
            raise
        finally:
            self.counts["running"] -= 1
        self.counts["done"] += 1
        return response

    def _aside(self, request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        """Answer what is no work: for another model, or what tokens a prompt has, of which a router may ask."""
        if asked.get("model") != self.model:
            return web.json_response({"error": {"message": f"no model {asked.get('model')}"}}, status=404)
        if not request.path.endswith("/render"):
            return None
        text = json.dumps(asked.get("messages") or asked.get("prompt"))
        tokens = [zlib.crc32(text[start : start + 4].encode()) % 50_000 for start in range(0, len(text), 4)]
        told = {"request_id": "x", "token_ids": tokens, "model": self.model, "sampling_params": {}}
        return web.json_response(told if "chat" in request.path else [told])

    async def _work(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if request.path == "/v1/embeddings":
            texts = asked["input"] if isinstance(asked.get("input"), list) else [asked.get("input")]
            data = [{"object": "embedding", "index": i, "embedding": [0.5, 0.25]} for i in range(len(texts))]
            usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
            return web.json_response({"object": "list", "model": self.model, "data": data, "usage": usage})
        if not request.path.endswith("completions"):
            return web.json_response({"path": request.path, "asked": asked})
        return await self._complete(request, asked)

    async def _complete(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if "refuse" in json.dumps(asked.get("messages") or asked.get("prompt")):
            return web.json_response({"error": {"message": "a bad prompt", "type": "x", "code": 7}}, status=400)
        if isinstance(asked.get("prompt"), list) and not asked.get("stream"):
            return await self._answer_each(request, asked)
        return await self._answer_one(request, asked)

    async def _answer_one(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        text = json.dumps(asked.get("messages") or asked.get("prompt"))
        async with self.slots:
            await self._prefill(text)
            if asked.get("stream"):
                return await self._stream(request, asked)
            await asyncio.sleep(self.token * _tokens(asked))
            answer = self._chunk(request, "tok " * _tokens(asked), stream=False)
            return web.json_response({**answer, "usage": _usage(text, asked)})

    async def _answer_each(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        """Answer a list of prompts, each of which takes a slot."""

        async def one(prompt: str) -> str:
            async with self.slots:
                await self._prefill(json.dumps(prompt))
                tokens = _tokens({**asked, "prompt": prompt})
                await asyncio.sleep(self.token * tokens)
                return "tok " * tokens

        texts = await asyncio.gather(*map(one, asked["prompt"]))
        whole = self._chunk(request, "", stream=False)
        choices = [{**whole["choices"][0], "index": index, "text": text} for index, text in enumerate(texts)]
        return web.json_response({**whole, "choices": choices})

    async def _prefill(self, text: str) -> None:
        unread, before = 0, 0
        for start in range(0, len(text), BLOCK):
            before = hash((before, text[start : start + BLOCK]))
            unread += before not in self.cache
            self.counts["misses" if before not in self.cache else "hits"] += 1
            self.cache[before] = None
            self.cache.move_to_end(before)
        while len(self.cache) > _setting("CACHE", 4096):
            self.cache.popitem(last=False)
        await asyncio.sleep(unread * self.read)

    async def _stream(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(_tokens(asked)):
            await asyncio.sleep(self.token)
            chunk = self._chunk(request, "tok " * asked.get("wide", 1), stream=True)
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = _usage(json.dumps(asked.get("messages") or asked.get("prompt")), asked)
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": self.model, "choices": []}
            await response.write(f"data: {json.dumps({**chunk, 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def _chunk(self, request: web.Request, text: str, stream: bool) -> dict[str, Any]:
        common = {"id": "x", "created": 0, "model": self.model}
        if "chat" not in request.path:
            choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": None}
            return {**common, "object": "text_completion", "choices": [choice]}
        said = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": None, "delta" if stream else "message": said}
        return {**common, "object": f"chat.completion{'.chunk' if stream else ''}", "choices": [choice]}


def _usage(text: str, asked: dict[str, Any]) -> dict[str, int]:
    prompt, answer = len(text) // 4, _tokens(asked)
    return {"prompt_tokens": prompt, "total_tokens": prompt + answer, "completion_tokens": answer}


def _tokens(asked: dict[str, Any]) -> int:
    if said := re.fullmatch(r"say (\d+)", str(asked.get("prompt"))):
        return int(said[1])
    return int(asked.get("max_completion_tokens") or asked.get("max_tokens", 1))


async def start(engine: Engine, host: str, port: int) -> web.AppRunner:
    """Have an engine answer at an address."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", engine.answer)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def _serve(host: str, port: int, key: str, model: str) -> None:
    await start(Engine(key, model), host, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
