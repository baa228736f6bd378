"""Requests to an OpenAI-compatible server over HTTP; prompts that come together and ask alike go as one list."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NoReturn

import aiohttp
import msgspec

from rhapsody_parsl.runtimes.vllm.live_adapters import LiveAdapters
from rhapsody_parsl.runtimes.vllm.request_server import RequestError
from rhapsody_parsl.runtimes.vllm.response import LAST, Refused, choice_text, delta_text, is_for_text, pooled, value_of
from rhapsody_parsl.runtimes.vllm.usage import Usage, note_usage, usage_of

__all__ = ("Relay", "in_lists")

LONGEST_LIST = 16
_SHORT, _BY_DEFAULT = 32, 16
"""Tokens of an answer. All answers to a list come with the last: who may say more is asked for alone, and his place is
free for the next one as soon as he has."""
_REQUEST_AT_FAULT, _SERVER_AT_FAULT = 400, 500
_DOUBT = 60.0
"""Seconds within which a server in trouble ends, or says that it is well."""
_LAST_BREATH = 2.0
_LOOK_EVERY, _LOOKS = 0.2, 5
_HEALTH_WITHIN = aiohttp.ClientTimeout(total=5.0)
_TOKENS = re.compile(r"^vllm:\w*tokens_\w*\{.*\} \S+$", re.MULTILINE)
_REQUESTS = re.compile(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", re.MULTILINE)
_PATHS = {"messages": "chat/completions", "input": "embeddings", "queries": "score"}
_FIRST: tuple[dict[str, Any], ...] = (
    {"prompt": "Hello", "max_tokens": 1},
    {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1},
    {"input": "Hello"},
    {"queries": "Hello", "documents": "Hello"},
)
"""What a server is asked that has just started, until it answers one: we do not know what its model is for."""
_Answer = asyncio.Future[tuple[Any, Usage]]
_IDLE = 3.0  # we close an idle connection before the usual server does


class Relay:
    """A client of one server.

    Args:
        base_url: `http://host:port/v1`.
        api_key: Sent as bearer token.
        ended: Done when the server's process has ended: requests under way are then asked again by the pilot.
        on_death: Called with the reason when the process lives, and nobody answers behind it.
        named: The adapters that it was started with.

    Attributes:
        adapters: Those that its engine has.
        model: The name the server gives its model, once `find_model` was true.
        under_way: How many requests it has not answered.
        answered: How many it has.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        ended: "asyncio.Future[int]",
        on_death: Callable[[str], None],
        *,
        named: Mapping[str, str] | str = "",
    ) -> None:
        self.adapters = LiveAdapters(named, self._load, self._unload)
        self.base_url, self.model, self._ended, self._on_death = base_url, "", ended, on_death
        self.under_way = self.answered = 0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"Authorization": f"Bearer {api_key}"},
        )
        self._sending: set[asyncio.Task[None]] = set()
        self._gathered: list[tuple[dict[str, Any], _Answer]] = []

    async def find_model(self) -> bool:
        """Ask for the server's models; False while it does not answer."""
        try:
            async with self._session.get(f"{self.base_url}/models") as response:
                if response.status != 200:  # noqa: PLR2004 - HTTP's "OK"
                    return False
                self.model = msgspec.json.decode(await response.read())["data"][0]["id"]
        except (aiohttp.ClientError, OSError, LookupError, TypeError, msgspec.DecodeError):
            return False
        return True

    async def first_token(self) -> str:
        """Have one real token generated, or an embedding or score made; return what the server said instead, or ""."""
        complaint = ""
        for request in _FIRST:
            try:
                await self.answer(dict(request), full=True)
            except RequestError as problem:
                complaint = complaint or f"it does not generate: {problem}"
            else:
                return ""
        return complaint

    async def sleep(self) -> None:
        """Have the server's engine sleep.

        Raises:
            RequestError: It does not.
        """
        await self._turn("sleep?level=1&mode=wait")

    async def wake(self) -> None:
        """Have the server's engine wake, and give a token.

        Raises:
            RequestError: It does not.
        """
        await self._turn("wake_up")
        if complaint := await self.first_token():
            raise RequestError(complaint)

    async def _turn(self, path: str) -> None:
        if complaint := await self._tell(path):
            raise RequestError(complaint)

    async def _load(self, name: str, folder: str) -> str:
        return await self._tell("v1/load_lora_adapter", lora_name=name, lora_path=folder)

    async def _unload(self, name: str) -> None:
        await self._tell("v1/unload_lora_adapter", lora_name=name)

    async def _tell(self, path: str, **what: str) -> str:
        """Tell the server something that is no request; return its complaint, or ""."""
        async with self._session.post(f"{self.base_url.removesuffix('/v1')}/{path}", json=what) as response:
            if response.status < _REQUEST_AT_FAULT:
                return ""
            return f"HTTP status {response.status}: {_complaint(await response.read())}"

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        """Return the app's value; `apart` keeps the prompt out of lists.

        Raises:
            RequestError: The server refuses the request.
        """
        if not (full or apart) and _goes_in_lists(request):
            return await self._gather(request)
        response = await self._post(request)
        note_usage(usage_of(response))
        if full:
            return response
        if not is_for_text(request):
            return pooled(response, request)
        return value_of([choice_text(choice) for choice in _choices(response)], request)

    async def stream(self, request: dict[str, Any]) -> AsyncIterator[str]:
        """Yield the text of the answer as it comes; who leaves closes the connection, and the server aborts.

        Raises:
            RequestError: The server refuses the request, or fails with it.
        """
        for again in (True, False):  # as for other requests, as long as nothing came
            try:
                async with aclosing(self._texts(request)) as texts:
                    async for text in texts:
                        again = False  # noqa: PLW2901 - what was told cannot be asked again
                        yield text
            except aiohttp.ClientError as problem:
                if not again:
                    await self._lost(problem)
            else:
                return

    async def _texts(self, request: dict[str, Any]) -> AsyncGenerator[str, None]:
        async with self._posting({**request, "stream": True}) as response:
            if response.status >= _REQUEST_AT_FAULT:
                await self._refused(response.status, await response.read())
            line = b""
            async for line in response.content:
                if line.strip() == LAST:
                    return
                try:
                    text = delta_text(line)
                except (Refused, ValueError) as problem:
                    raise RequestError(str(problem)) from problem
                if text:
                    yield text
            raise aiohttp.ClientPayloadError(f"the answer was cut off after {line[-100:]!r}")

    @asynccontextmanager
    async def _posting(self, request: Mapping[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Have a request at the server; it counts as long as it is there."""
        path = next((path for name, path in _PATHS.items() if name in request), "completions")
        body = msgspec.json.encode({"model": self.model, **request})
        headers = {"Content-Type": "application/json"}
        self.under_way += 1
        try:
            async with self._session.post(f"{self.base_url}/{path}", data=body, headers=headers) as response:
                yield response
        finally:
            self.under_way -= 1
            self.answered += 1

    async def _refused(self, status: int, content: bytes) -> NoReturn:
        """The server refuses a request, unless it is about to end.

        Raises:
            RequestError: With its complaint.
        """
        if status >= _SERVER_AT_FAULT:
            await self._see_it_end()
        raise RequestError(_complaint(content) or f"HTTP status {status}")

    async def _lost(self, problem: aiohttp.ClientError) -> NoReturn:
        """A connection has ended, and the server may be about to.

        Raises:
            RequestError: It is not.
        """
        await self._see_it_end("gone" if isinstance(problem, aiohttp.ClientConnectorError) else "")
        raise RequestError(f"{type(problem).__name__}: {problem}") from problem

    async def _gather(self, request: dict[str, Any]) -> Any:
        """Wait for what else comes in this turn of the loop, and go with it."""
        loop = asyncio.get_running_loop()
        answer: _Answer = loop.create_future()
        self._gathered.append((request, answer))
        if len(self._gathered) == 1:
            loop.call_soon(self._send_gathered)
        value, usage = await answer
        note_usage(usage)
        return value

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        answers = {id(request): answer for request, answer in gathered if not answer.cancelled()}
        wanted = [request for request, answer in gathered if not answer.cancelled()]
        try:
            groups = in_lists(wanted, LONGEST_LIST)
        except Exception as problem:  # noqa: BLE001 - whatever it is, those who wait are to hear of it
            for answer in answers.values():
                answer.set_exception(problem)
            return
        for group in groups:
            sending = asyncio.create_task(self._ask_list(group, [answers[id(request)] for request in group]))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _ask_list(
        self, requests: list[dict[str, Any]], answers: list["asyncio.Future[tuple[Any, Usage]]"]
    ) -> None:
        """Ask for all; where the server refuses the list, ask for each, so that only the one at fault fails."""
        name = _listed(requests[0])
        prompts: Any = [request[name] for request in requests]
        try:
            response = await self._post({**requests[0], name: prompts if len(prompts) > 1 else prompts[0]})
            if is_for_text(requests[0]):
                values = [choice_text(choice) for choice in _choices(response)]
            else:
                values = pooled(response, {name: prompts})
            if len(values) != len(requests):
                raise RequestError(f"{len(values)} answers came for {len(requests)} prompts")  # noqa: TRY301 - as below
        except Exception as problem:  # noqa: BLE001 - an answer that nobody can read is one, too
            if len(requests) > 1:
                await asyncio.gather(*(self._ask_list([r], [a]) for r, a in zip(requests, answers, strict=True)))
            elif not answers[0].done():
                answers[0].set_exception(problem)
            return
        for answer, value in zip(answers, values, strict=True):
            if not answer.done():
                answer.set_result((value, usage_of(response, len(requests))))

    async def _post(self, request: Mapping[str, Any], again: bool = True) -> dict[str, Any]:
        try:
            async with self._posting(request) as response:
                status, content = response.status, await response.read()
        except aiohttp.ClientError as problem:
            if again:  # a kept connection that the server had just closed; asking twice does no harm
                return await self._post(request, again=False)
            await self._lost(problem)
        if status >= _REQUEST_AT_FAULT:
            await self._refused(status, content)
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise RequestError(f"the answer is no JSON: {content[:200]!r}") from problem

    async def _see_it_end(self, state: str = "") -> None:
        """A server in trouble may be about to end, and we with it: then there is no answer and no error from us.

        Where nobody listens any more it has ended, even if something in the command starts it again.
        """
        deadline, well = time.monotonic() + _DOUBT, 0
        while time.monotonic() < deadline and not self._ended.done():
            state = state or await self._state()
            if state == "gone":
                await asyncio.wait({self._ended}, timeout=_LAST_BREATH)
                break
            well = well + 1 if state == "well" else 0
            if well == _LOOKS:
                return
            await asyncio.wait({self._ended}, timeout=_LOOK_EVERY)
            state = ""
        if not self._ended.done():
            self._on_death("stopped answering")
        await asyncio.get_running_loop().create_future()

    async def sign(self, within: float) -> tuple[str, bool]:
        """Return what is another text each time while the server works, and whether it has something to do.

        vLLM counts its tokens and its requests, whoever made them. Of others it is enough that they answer. The text is
        "" when it answers nothing.

        Args:
            within: Seconds until it is to answer.
        """
        url, timeout = f"{self.base_url.removesuffix('/v1')}/metrics", aiohttp.ClientTimeout(total=within)
        try:
            async with self._session.get(url, timeout=timeout) as response:
                text = await response.text() if response.status == 200 else ""  # noqa: PLR2004 - HTTP's "OK"
        except (aiohttp.ClientError, OSError, UnicodeDecodeError):
            return "", True
        if counted := _TOKENS.findall(text):
            return " ".join(counted), self.under_way > 0 or any(map(float, _REQUESTS.findall(text)))
        well = await self._state() == "well"
        return (str(time.monotonic()), self.under_way > 0) if well else ("", True)

    async def _state(self) -> str:
        """Ask the server how it is: `well` (also one that only refuses the question), `ill` or `gone`."""
        try:
            async with self._session.get(
                f"{self.base_url.removesuffix('/v1')}/health", timeout=_HEALTH_WITHIN
            ) as response:
                return "well" if response.status < _SERVER_AT_FAULT else "ill"
        except aiohttp.ClientConnectorError:
            return "gone"
        except (aiohttp.ClientError, OSError):
            return "ill"


def _listed(request: Mapping[str, Any]) -> str:
    """Return where the prompts of a list stand in such a request."""
    return "prompt" if "prompt" in request else "input"


def _goes_in_lists(request: Mapping[str, Any]) -> bool:
    """Whether a request may go with others in a list: a text to embed, or a prompt with one short answer."""
    if not isinstance(request.get(_listed(request)), str):
        return False
    tokens = request.get("max_tokens") or _BY_DEFAULT
    short = isinstance(tokens, int) and tokens <= _SHORT and (request.get("n") or 1) == 1
    return short or not is_for_text(request)


def in_lists(requests: Sequence[dict[str, Any]], longest: int) -> list[list[dict[str, Any]]]:
    """Group requests that differ in their prompt only, in order, into lists no longer than `longest`."""
    groups: dict[bytes, list[dict[str, Any]]] = {}
    for request in requests:
        rest = {**dict(sorted(request.items())), _listed(request): None}
        groups.setdefault(msgspec.msgpack.encode(rest), []).append(request)
    return [group[i : i + longest] for group in groups.values() for i in range(0, len(group), longest)]


def _choices(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sorted(response.get("choices") or [], key=lambda choice: choice.get("index") or 0)


def _complaint(content: bytes) -> str:
    """Return the server's own message of an error."""
    try:
        error = msgspec.json.decode(content)
        error = error.get("error", error)
        return str(error.get("message") or error)
    except (msgspec.DecodeError, AttributeError):
        return content[:500].decode(errors="replace").strip()
