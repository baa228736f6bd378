"""The replica process's end of the conversation with the pilot, whatever answers behind it."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, NoReturn, Protocol

import msgspec

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed, ServiceRequestFailed, to_wire
from rhapsody_parsl.hosts.process_tree import end_descendants
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Abort, Ask, Done, Failed, Quit, Ready, Rendezvous, Result, ServiceFacts, failed
from rhapsody_parsl.worker.call import pack

__all__ = ("Answerer", "Answering", "RequestError", "bind", "leave", "leave_with")


class RequestError(Exception):
    """A request was refused; the text is the engine's own complaint."""


class Answerer(Protocol):
    """What answers requests."""

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        """Return the app's value; `apart` has the request reach the engine by itself.

        Raises:
            RequestError: The request is at fault.
        """


def leave(code: int = 0) -> NoReturn:
    """End everything below us, and this process, at once; multiprocessing's own tracker removes shared memory."""
    end_descendants()
    os._exit(code)


class Answering:
    """Takes requests from the pilot and has them answered side by side; answers that end together go in one message.

    The process leaves with the pilot: a thread watches the connection, for the loop may be busy loading a model.

    Args:
        settings: From the pilot.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._spoke = settings.spoke()
        self._answerer: Answerer | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._results: list[Result] = []
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        leave_with(self._spoke)

    async def serve(self, answerer: Answerer, url: str, port: int, model: str) -> None:
        """Say that we are ready, and answer until told to leave.

        Args:
            answerer: Has given one real token.
            url: Of the HTTP API.
            port: Its port.
            model: The name that requests give.
        """
        self._answerer = answerer
        self._loop.add_reader(self._spoke.fileno(), self._pump)
        self._spoke.send(Ready(socket.gethostname(), os.getpid(), ServiceFacts(url, model, port)))
        self._pump()
        await self._over

    def tell(self, place: Rendezvous) -> None:
        """Tell the pilot where the engine's processes on other nodes find it."""
        self._spoke.send(place)

    def fail(self, error: RhapsodyError, killed: bool = False) -> NoReturn:
        """Tell the pilot why, and leave."""
        print(f"leaving: {error}", file=sys.stderr, flush=True)  # noqa: T201 - into the replica's log
        name, facts = to_wire(error)
        self._spoke.send(Failed(name, facts, killed))
        self._spoke.close()  # waits until all has left
        leave(1)

    def lost(self, reason: str, killed: bool = False) -> NoReturn:
        """What answers has died: leave, so that the pilot starts a new one.

        Args:
            reason: How, for people.
            killed: Whether by a signal that somebody or the system sends.
        """
        self.fail(ServiceFailed(self.settings.service.name, reason), killed)

    # --- messages ------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Take all that has arrived."""
        while (message := self._spoke.receive_nowait()) is not None:
            match message:
                case Ask():
                    self._begin(message.task, self._answer(message))
                case Abort(tasks=tasks):
                    for task in tasks:
                        if running := self._tasks.pop(task, None):
                            running.cancel()
                case Quit():
                    leave()
                case other:
                    raise TypeError(f"a replica does not understand {type(other).__name__}")

    def _begin(self, task: int, answer: Coroutine[Any, Any, None]) -> None:
        self._tasks[task] = asyncio.create_task(answer)

    async def _answer(self, ask: Ask) -> None:
        began = time.perf_counter()
        task, me = ask.task, asyncio.current_task()
        try:
            result = pack(task, await self._value(ask), time.perf_counter() - began)
        except RequestError as problem:
            result = failed(task, ServiceRequestFailed(self.settings.service.name, str(problem)))
        except Exception as problem:  # noqa: BLE001 - a task without an answer would be waited for without an end
            why = f"the answer could not be read: {type(problem).__name__}: {problem}"
            result = failed(task, ServiceRequestFailed(self.settings.service.name, why))
        if self._tasks.get(task) is me:  # else it was aborted
            del self._tasks[task]
            self._send(result)

    async def _value(self, ask: Ask) -> Any:
        if self._answerer is None:
            raise RequestError("the service is not ready")
        return await self._answerer.answer(msgspec.msgpack.decode(ask.request), ask.full, ask.apart)

    def _send(self, result: Result) -> None:
        """Send with whatever else ends in this turn of the loop."""
        self._results.append(result)
        if len(self._results) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        results, self._results = self._results, []
        self._spoke.send(Done(0, results))


def _on_signal(number: int, frame: FrameType | None) -> None:
    leave()


def leave_with(spoke: Spoke) -> None:
    """Leave when the pilot is gone, or asks us to by a signal."""

    def watch() -> None:
        spoke.wait_gone()
        leave()

    signal.signal(signal.SIGTERM, _on_signal)
    threading.Thread(target=watch, name="pilot watch", daemon=True).start()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the port, or to a free one when it is taken or 0."""
    for wanted in dict.fromkeys((port, 0)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
        except OSError:
            listener.close()
            if not wanted:
                raise
        else:
            return listener
    raise OSError(f"no free port on {host}")
