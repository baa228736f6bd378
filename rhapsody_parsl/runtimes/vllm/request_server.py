"""The requests that a replica's process has from the pilot, whatever answers behind it."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

import msgspec

from rhapsody_parsl.errors import ServiceRequestFailed
from rhapsody_parsl.runtimes.vllm.usage import take_usage
from rhapsody_parsl.services.conversation import Conversation
from rhapsody_parsl.wire.engine_messages import Abort, Ask, Pulse
from rhapsody_parsl.wire.messages import Done, Result, ServiceFacts, ToBackend, failed
from rhapsody_parsl.worker.call import pack

__all__ = ("Answerer", "RequestError", "RequestServer")


_BEAT_EVERY = 5.0


class RequestError(Exception):
    """A request was refused; the text is the engine's own complaint."""


class Answerer(Protocol):
    """What answers requests."""

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        """Return the app's value; `apart` has the request reach the engine by itself.

        Raises:
            RequestError: The request is at fault.
        """


class RequestServer:
    """Has requests answered side by side; answers that end together go in one message.

    Args:
        conversation: With the pilot.
        answerer: Has given one real token.
        silence: Seconds of silence, with requests, after which the pilot gives us up.
    """

    def __init__(self, conversation: Conversation, answerer: Answerer, silence: float) -> None:
        self._conversation, self._answerer, self._silence = conversation, answerer, silence
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._results: list[Result] = []
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
            if self._tasks:
                self._conversation.spoke.send(Pulse())

    def _receive(self, message: ToBackend) -> None:
        match message:
            case Ask():
                self._begin(message.task, self._answer(message))
            case Abort(tasks=tasks):
                for task in tasks:
                    if running := self._tasks.pop(task, None):
                        running.cancel()
            case other:
                raise TypeError(f"a replica does not understand {type(other).__name__}")

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
        except Exception as problem:  # noqa: BLE001 - a task without an answer would be waited for without an end
            why = f"the answer could not be read: {type(problem).__name__}: {problem}"
            result = failed(task, ServiceRequestFailed(self._conversation.service, why))
        if self._tasks.get(task) is me:  # else it was aborted
            del self._tasks[task]
            self._send(result)

    async def _value(self, ask: Ask) -> Any:
        return await self._answerer.answer(msgspec.msgpack.decode(ask.request), ask.full, ask.apart)

    def _send(self, result: Result) -> None:
        """Send with whatever else ends in this turn of the loop."""
        self._results.append(result)
        if len(self._results) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        results, self._results = self._results, []
        self._conversation.spoke.send(Done(0, results))
