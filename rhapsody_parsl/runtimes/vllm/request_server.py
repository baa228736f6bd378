"""The requests that a replica's process has from the pilot, whatever answers behind it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from rhapsody_parsl.errors import ServiceRequestFailed
from rhapsody_parsl.runtimes.vllm.live_adapters import LiveAdapters
from rhapsody_parsl.runtimes.vllm.response import has_many_prompts, is_for_text
from rhapsody_parsl.runtimes.vllm.usage import take_usage
from rhapsody_parsl.services.conversation import Conversation
from rhapsody_parsl.wire.engine_messages import Abort, Adapters, Ask, Asks, Pulse, Sleep, Turned, Wake
from rhapsody_parsl.wire.messages import Done, Result, ServiceFacts, ToBackend, failed
from rhapsody_parsl.wire.piece_messages import More, Piece, Pieces
from rhapsody_parsl.worker.call import pack
from rhapsody_parsl.worker.flow import Flow
from rhapsody_parsl.worker.outlet import Outlet

__all__ = ("Answerer", "RequestError", "RequestServer")


_BEAT_EVERY = 5.0


class RequestError(Exception):
    """A request was refused; the text is the engine's own complaint."""


class Answerer(Protocol):
    """What answers requests.

    Attributes:
        adapters: Those of its engine.
    """

    adapters: LiveAdapters

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        """Return the app's value; `apart` has the request reach the engine by itself.

        Raises:
            RequestError: The request is at fault.
        """

    def stream(self, request: dict[str, Any]) -> AsyncIterator[str]:
        """Yield the text of the answer as it comes; who leaves has it aborted.

        Raises:
            RequestError: The request is at fault.
        """

    async def sleep(self) -> None:
        """Free the engine's GPUs, once what is under way has its answer."""

    async def wake(self) -> None:
        """Have the engine as it was, with a token to prove it."""


class RequestServer:
    """Has requests answered side by side; answers that end together go in one message.

    Args:
        conversation: With the pilot.
        answerer: Has given one real token.
        silence: Seconds of silence, while it has requests of anybody's, after which the pilot gives us up.
    """

    def __init__(self, conversation: Conversation, answerer: Answerer, silence: float) -> None:
        self._conversation, self._answerer, self._silence = conversation, answerer, silence
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._results: list[Result] = []
        self._pieces: list[Piece] = []
        self._flows: dict[int, Flow] = {}
        self._turn: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def serve(self, url: str, port: int, model: str) -> None:
        """Say that we are ready, and answer until told to leave.

        Args:
            url: Of the HTTP API.
            port: Its port.
            model: The name that requests give.
        """
        self._beats = asyncio.create_task(self._beat())
        await self._conversation.serve(ServiceFacts(url, model, port), self._receive)

    async def _beat(self) -> None:
        """Show the pilot that this process is at work; one that is frozen shows nothing."""
        while True:
            await asyncio.sleep(min(_BEAT_EVERY, self._silence / 4))
            self._conversation.spoke.send(Pulse())

    def _receive(self, message: ToBackend) -> None:
        match message:
            case Asks(asks=asks):
                for ask in asks:
                    self._begin(ask.task, self._answer(ask))
            case Abort(tasks=tasks):
                self._abort(tasks)
            case More(task=task):
                if flow := self._flows.get(task):
                    flow.more(message)
            case Sleep() | Wake() | Adapters():
                self._turn = asyncio.create_task(self._take_turn(message, self._turn))
                self._turn.add_done_callback(self._conversation.vital(asyncio.Task.result))
            case other:
                raise TypeError(f"a replica does not understand {type(other).__name__}")

    async def _take_turn(self, message: Sleep | Wake | Adapters, before: "asyncio.Task[None] | None" = None) -> None:
        """Have the engine sleep, wake or change its adapters, after what it was told before."""
        if before:
            await asyncio.wait({before})
        if isinstance(message, Adapters):
            await self._answerer.adapters.become(message.wanted, message.unload)
        else:
            await self._rest_or_wake(isinstance(message, Sleep))

    async def _rest_or_wake(self, sleeps: bool) -> None:
        """Have the engine sleep or wake, or leave: nobody knows how one is that did neither."""
        try:
            await (self._answerer.sleep() if sleeps else self._answerer.wake())
        except Exception as problem:  # noqa: BLE001 - whatever it raises, the pilot is to hear of it
            what = "go to sleep" if sleeps else "wake"
            self._conversation.lost(f"its engine did not {what}: {type(problem).__name__}: {problem}")
        self._conversation.tell(Turned())

    def _abort(self, tasks: list[int]) -> None:
        for task in tasks:
            if running := self._tasks.pop(task, None):
                running.cancel()

    def _begin(self, task: int, answer: Coroutine[Any, Any, None]) -> None:
        self._tasks[task] = asyncio.create_task(answer)

    async def _answer(self, ask: Ask) -> None:
        began = time.perf_counter()
        task, me = ask.task, asyncio.current_task()
        try:
            result = pack(task, await self._value(ask), time.perf_counter() - began)
            result = msgspec.structs.replace(result, request=take_usage())
        except RequestError as problem:
            result = failed(task, ServiceRequestFailed(self._conversation.service, str(problem)))
        except BaseException as problem:  # noqa: BLE001 - else it is waited for without an end
            why = f"the answer could not be read: {type(problem).__name__}: {problem}"
            result = failed(task, ServiceRequestFailed(self._conversation.service, why))
        if self._tasks.get(task) is me:  # else it was aborted
            del self._tasks[task]
            self._send(result)

    async def _value(self, ask: Ask) -> Any:
        if self._turn and not self._turn.done():
            await asyncio.wait({self._turn})
        request = msgspec.msgpack.decode(ask.request)
        if refusal := self._answerer.adapters.refusal(request.get("model")):
            raise RequestError(refusal)
        if ask.priority:
            request["priority"] = ask.priority
        if not request.pop("stream", False):
            return await self._answerer.answer(request, ask.full, ask.apart)
        if not is_for_text(request):
            raise RequestError("an embedding or a score comes at once: drop stream=True")
        if has_many_prompts(request) or (request.get("n") or 1) > 1:
            raise RequestError("pieces of several answers would be mixed: stream one prompt, with n=1")
        return await self._streamed(ask.task, request)

    async def _streamed(self, task: int, request: dict[str, Any]) -> str:
        """Send the answer in pieces and return all of it; a reader that is slow, or is none, has longer pieces."""
        outlet, whole, held = Outlet(task, self._give, self._flows), "", ""
        with outlet.opened() as flow:
            async with aclosing(self._answerer.stream(request)) as texts:  # type: ignore[type-var]  # both are generators
                async for text in texts:
                    whole, held = whole + text, held + text
                    if not flow.is_full:
                        outlet.put(held, flow)
                        held = ""
                    if flow.stopped:
                        return whole
            if held:
                outlet.put(held, flow)
        return whole

    def _give(self, piece: Piece) -> None:
        """Send a piece, with the others of this turn of the loop."""
        self._wake()
        self._pieces.append(piece)

    def _send(self, result: Result) -> None:
        """Send with whatever else ends in this turn of the loop."""
        self._wake()
        self._results.append(result)

    def _wake(self) -> None:
        if not (self._results or self._pieces):
            self._loop.call_soon(self._conversation.vital(self._flush))

    def _flush(self) -> None:
        """Send what there is, the pieces of an answer before its end."""
        pieces, self._pieces = self._pieces, []
        results, self._results = self._results, []
        if pieces:
            self._conversation.spoke.send(Pieces(0, pieces))
        if results:
            self._send_results(results)

    def _send_results(self, results: list[Result]) -> None:
        """Send these; where one cannot be a message, its request fails for that, and the others are answered."""
        try:
            self._conversation.spoke.send(Done(0, results))
        except OSError:
            raise  # nobody knows how much of it went
        except Exception as problem:  # noqa: BLE001 - what an answer that cannot be encoded raises, msgspec does not list
            if len(results) > 1:
                for result in results:
                    self._send_results([result])
                return
            why = f"its answer cannot be sent: {type(problem).__name__}: {problem}"
            error = ServiceRequestFailed(self._conversation.service, why)
            self._conversation.spoke.send(Done(0, [failed(results[0].id, error)]))
