"""What the relay sends together, and what it makes of a server in trouble. The server is a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from rhapsody_parsl.runtimes.vllm.relay import Relay
from rhapsody_parsl.runtimes.vllm.request_server import RequestError
from rhapsody_parsl.worker.prompt import as_request


class Server:
    """Answers with the prompts reversed, and remembers them; fails as it is told to."""

    def __init__(self) -> None:
        self.prompts: list[Any] = []
        self.turns: list[str] = []
        self.status, self.health, self.metrics = 200, 200, ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; return the base URL."""
        app = web.Application()
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        app.router.add_post("/v1/score", self._score)
        app.router.add_post("/sleep", self._turn)
        app.router.add_post("/wake_up", self._turn)
        app.router.add_get("/health", self._tell_health)
        app.router.add_get("/metrics", self._tell_metrics)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner:
            await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.Response:
        prompt = (await request.json())["prompt"]
        self.prompts.append(prompt)
        texts = prompt if isinstance(prompt, list) else [prompt]
        choices = [{"index": n, "text": text[::-1]} for n, text in enumerate(texts)]
        return web.json_response({"choices": choices, "message": "in trouble"}, status=self.status)

    async def _turn(self, request: web.Request) -> web.Response:
        self.turns.append(request.path_qs)
        return web.json_response({"error": {"message": "never"}}, status=self.status)

    async def _chat(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.prompts.append(asked)
        return web.json_response({"choices": [{"message": {"content": "seen"}}]})

    async def _embed(self, request: web.Request) -> web.Response:
        self.prompts.append(texts := (await request.json())["input"])
        return web.json_response({"data": [{"index": n, "embedding": [len(text)]} for n, text in enumerate(texts)]})

    async def _score(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"index": 0, "score": 0.5}]})

    async def _tell_metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics)

    async def _tell_health(self, request: web.Request) -> web.Response:
        return web.Response(status=self.health)


def try_out(check: Callable[[Server, Relay, "asyncio.Future[str]"], Awaitable[None]]) -> None:
    """Run a check with a server and a relay; the future takes the reason for which the server is held for dead."""

    async def run() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        died: asyncio.Future[str] = loop.create_future()
        relay = Relay(await server.start(), "key", loop.create_future(), died.set_result)
        try:
            await check(server, relay, died)
        finally:
            await relay._session.close()
            await server.stop()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_prompts_that_come_together_go_in_a_list_but_not_those_that_are_to_be_apart() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        requests = [{"prompt": "ab"}, {"prompt": "cd"}]
        for apart, sent in ((False, [["ab", "cd"]]), (True, ["ab", "cd"])):
            server.prompts.clear()
            answers = await asyncio.gather(*(relay.answer(request, full=False, apart=apart) for request in requests))
            assert answers == ["ba", "dc"]
            assert sorted(server.prompts) == sent
        server.prompts.clear()
        await asyncio.gather(*(relay.answer({**request, "max_tokens": 500}, full=False) for request in requests))
        assert sorted(server.prompts) == ["ab", "cd"], "a long answer would hold up the others of its list"
        server.prompts.clear()
        lengths = await asyncio.gather(*(relay.answer({"input": text}, full=False) for text in ("ab", "cde")))
        assert (lengths, server.prompts) == ([[2], [3]], [["ab", "cde"]])

    try_out(check)


def test_images_and_other_parts_of_a_chat_reach_the_server_as_the_app_gave_them() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    parts = [{"type": "text", "text": "What is it?"}, image, {"type": "input_audio", "input_audio": {"data": "AAA="}}]
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": parts}]
    request = as_request(messages, {"max_tokens": 3, "mm_processor_kwargs": {"size": {"height": 28}}})

    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        assert await relay.answer(msgspec.msgpack.decode(msgspec.msgpack.encode(request)), full=False) == "seen"
        assert server.prompts == [{"model": relay.model, **request}]
        assert request["messages"] == messages

    try_out(check)


def test_embeddings_and_scores_have_addresses_of_their_own() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        assert await relay.answer({"input": ["a", "bcd"]}, full=False) == [[1], [3]]
        assert await relay.answer({"queries": "a", "documents": "b"}, full=False) == 0.5
        assert server.prompts == [["a", "bcd"]], "no completion"

    try_out(check)


def test_a_server_sleeps_and_is_awake_when_it_has_given_a_token() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        await relay.sleep()
        await relay.wake()
        assert server.turns == ["/sleep?level=1&mode=wait", "/wake_up"]
        assert server.prompts == ["Hello"]
        server.status = 400
        with pytest.raises(RequestError, match="HTTP status 400: never"):
            await relay.sleep()

    try_out(check)


def test_a_server_whose_model_only_embeds_is_ready_too() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        server.status = 400
        assert await relay.first_token() == ""

    try_out(check)


def test_a_server_that_fails_but_is_well_has_refused_the_request() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        server.status = 500
        with pytest.raises(RequestError, match="in trouble"):
            await relay.answer({"prompt": "ab"}, full=True)
        assert not died.done()

    try_out(check)


def test_a_server_that_fails_and_is_ill_answers_nobody_until_it_is_known_what_becomes_of_it() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        server.status, server.health = 500, 503
        answer = asyncio.ensure_future(relay.answer({"prompt": "ab"}, full=True))
        await asyncio.wait({answer}, timeout=2)
        assert not answer.done()
        server.health = 200
        with pytest.raises(RequestError):
            await answer

    try_out(check)


def test_where_nobody_listens_any_more_the_engine_has_died() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        await server.stop()
        answer = asyncio.ensure_future(relay.answer({"prompt": "ab"}, full=False))
        assert await died == "stopped answering"
        assert not answer.done()
        answer.cancel()

    try_out(check)


def test_an_answer_that_nobody_can_read_is_one_for_each_of_a_list() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        relay._post = _senseless  # type: ignore[method-assign]  # what no server of ours says
        answers = [relay.answer({"prompt": prompt}, full=False) for prompt in ("ab", "cd")]
        errors = await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 5)
        assert all(isinstance(error, Exception) for error in errors)

    try_out(check)


async def _senseless(request: Any, again: bool = True) -> Any:
    return {"choices": [None]}


def test_requests_that_cannot_be_put_in_lists_fail_and_do_not_wait() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        asked = [relay.answer({"prompt": text, "seed": 1 << 80}, False) for text in "ab"]
        ends = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
        assert [type(end) for end in ends] == [OverflowError] * 2

    try_out(check)


def test_a_server_shows_that_it_works_by_its_tokens_or_else_by_an_answer() -> None:
    async def check(server: Server, relay: Relay, died: "asyncio.Future[str]") -> None:
        first, busy = await relay.sign(5)
        assert not busy
        assert first not in ("", (await relay.sign(5))[0]), "one that counts nothing is well each time"
        server.metrics = 'vllm:num_requests_running{m="a"} 1.0\nvllm:generation_tokens_total{m="a"} 3.0\n'
        counted = await relay.sign(5)
        assert counted == await relay.sign(5), "no token came"
        server.metrics = server.metrics.replace("3.0", "4.0").replace("1.0", "2.0")
        assert counted != await relay.sign(5) == ('vllm:generation_tokens_total{m="a"} 4.0', True)
        server.metrics = server.metrics.replace("2.0", "0.0")
        assert await relay.sign(5) == ('vllm:generation_tokens_total{m="a"} 4.0', False), "nobody asks it anything"
        server.metrics, server.health = "", 503
        assert await relay.sign(5) == ("", True)
        await server.stop()
        assert await relay.sign(5) == ("", True)

    try_out(check)
