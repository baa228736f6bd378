"""`stream`: the pieces of an app that is a generator, as they come: at the driver, or in the task that submitted it."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from rhapsody_parsl.errors import NoStream, StreamRestarted
from rhapsody_parsl.executors.launches import task_of, watch
from rhapsody_parsl.executors.tray import Streamed
from rhapsody_parsl.payload import open_result
from rhapsody_parsl.telling import said

__all__ = ("Stream", "stream")

log = logging.getLogger(__name__)


class _Word:
    """What the link's and Parsl's threads call when there is news; it does not keep the stream alive.

    Attributes:
        tell: What to call; None while nobody waits.
    """

    def __init__(self) -> None:
        self.tell: Callable[[], object] | None = None

    def __call__(self) -> None:
        if tell := self.tell:
            with suppress(RuntimeError):  # the event loop that waited has ended
                tell()


class Stream:
    """The pieces of one app's call: an iterator, and an asynchronous one.

    It ends when the generator does, and raises what the generator raises, after the pieces before that. A stream that
    is closed, or that nobody holds any more, stops the generator at its next piece, with `GeneratorExit`.

    Args:
        future: The app's.

    Raises:
        NoStream: It is no future of ours or Parsl's.
    """

    def __init__(self, future: Future[Any]) -> None:
        self._over = True
        if not isinstance(future, Future):
            raise NoStream(f"it is a {type(future).__name__}, and no future")
        self._future = future
        self._task: Future[Any] | None = None
        self._given = 0
        self._word = _Word()
        self._over = False
        watch(future, self._word)

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> Any:
        """Wait for the next piece and return it.

        Raises:
            StopIteration: There is none; its value is the future's result.
            StreamRestarted: The task was lost and runs again from its start.
            NoStream: The app is no generator.
            BaseException: What the app raised.
        """
        while (payload := self._look()) is None:
            word = threading.Event()
            self._word.tell = word.set
            if (payload := self._look()) is not None:  # it came before we could be told
                break
            word.wait()
        return open_result(payload, "piece")

    async def __anext__(self) -> Any:
        """Wait for the next piece and return it.

        Raises:
            StopAsyncIteration: There is none.
            StreamRestarted: As above.
            NoStream: As above.
            BaseException: What the app raised.
        """
        loop = asyncio.get_running_loop()
        try:
            while (payload := self._look()) is None:
                word = asyncio.Event()
                self._word.tell = lambda word=word: loop.call_soon_threadsafe(word.set)
                if (payload := self._look()) is not None:
                    break
                await word.wait()
        except StopIteration:
            raise StopAsyncIteration from None
        return open_result(payload, "piece")

    def close(self) -> None:
        """Stop the generator at its next piece; idempotent. What has come and was not read is dropped."""
        if not self._over:
            self._over = True
            self._word.tell = None
            future = self._future
            watch(future, lambda: _close(future))  # a further try is to stop, too
            _close(future)

    async def aclose(self) -> None:
        """Do as `close`."""
        self.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream is read where it was made: pass its pieces on, or the app's future for its result")

    # --- what there is -------------------------------------------------------------------------------------------

    def _look(self) -> bytes | None:
        """Return the next piece, None while nobody knows whether there is one."""
        if self._over:
            raise StopIteration
        task = task_of(self._future)
        if task is not self._task:
            self._follow(task)
        if not isinstance(task, Streamed):
            self._look_elsewhere(task)
            return None
        ended = task.done()
        if (payload := task.tray.take()) is None and (lost := task.tray.lost):
            self._restarted(lost, "the process or block under it was lost")
        if payload is not None:
            self._given += 1
        elif ended:
            self._end(task)
        return payload

    def _follow(self, task: Future[Any] | None) -> None:
        """Read the task that is at work now; the one before it has failed."""
        given, before = self._given, self._task
        self._task, self._given = None, 0
        if isinstance(task, Streamed):
            if task.tray.read:
                self._leave()
                raise NoStream("somebody else reads it: a stream has one reader")
            task.tray.attach(self._word)
            task.add_done_callback(_telling(self._word))
        self._task = task
        if given and before is not None:
            self._restarted(given, _why(before))

    def _restarted(self, given: int, why: str) -> NoReturn:
        """Say that what was read is void; who asks for the stream again has the new try from its start."""
        self._leave()
        raise StreamRestarted(given, why)

    def _look_elsewhere(self, task: Future[Any] | None) -> None:
        """Nothing of ours is at work: it is not launched, or will never be, or is another executor's."""
        if self._future.done():
            self._leave()
            if error := self._future.exception():
                raise error
            raise NoStream("its result was there before (cache=True), or came from another executor")
        if task is not None and not task.done():
            self._leave()
            raise NoStream("it runs on another executor")

    def _end(self, task: Streamed) -> None:
        """All pieces of a task that has ended are taken: end as it did, once Parsl does not try again."""
        error = CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._future.done():
            return
        came, given = task.tray.came, self._given
        self._leave()
        if error is not None:
            raise self._future.exception() or error if self._future is not task else error
        if not (came or task.streams):
            raise NoStream("it is no generator, and no request with stream=True")
        if came and not given:
            raise NoStream("its pieces have been read, or were dropped when the stream was closed")
        raise StopIteration(task.result())

    def _leave(self) -> None:
        """Read no more; the tray is free for another reader."""
        self._over = True
        self._word.tell = None
        if isinstance(self._task, Streamed):
            self._task.tray.release()

    # --- a callback ----------------------------------------------------------------------------------------------

    def _call(self, callback: Callable[[Any], object]) -> None:
        """Have a function called with each piece, on the thread that brings it, until the end."""
        lock = threading.Lock()

        def pump() -> None:
            with lock:
                while self._hand_on(callback):
                    self._over, self._task, self._word.tell = False, None, pump

        self._word.tell = pump
        pump()

    def _hand_on(self, callback: Callable[[Any], object]) -> bool:
        """Call it with what is there; return whether the task has begun again."""
        while True:
            try:
                payload = self._look()
            except StreamRestarted:
                return True
            except Exception:  # noqa: BLE001 - the end, which the future tells
                return False
            if payload is None:
                return False
            _hand(callback, payload)


def _hand(callback: Callable[[Any], object], payload: bytes) -> None:
    try:
        callback(open_result(payload, "piece"))
    except (Exception, SystemExit):  # which would end the thread of all futures
        log.exception("a callback of stream() failed")


def stream(future: Future[Any], callback: Callable[[Any], object] | None = None) -> Stream:
    """Return the pieces of an app that is a generator, or of a request with `stream=True`, as they come.

    Args:
        future: What the app returned, or `RhapsodyExecutor.submit`.
        callback: Called with each piece instead, on a thread that all futures share: it must not wait. It gets the
            pieces of each try; how the task ends is told by the future.

    Raises:
        NoStream: It is no future.
    """
    pieces = Stream(future)
    if callback is not None:
        pieces._call(callback)
    return pieces


def _close(future: Future[Any]) -> None:
    """Have the task that is at work for an app's future give no more."""
    task = task_of(future)
    if isinstance(task, Streamed):
        task.tray.close()


def _why(task: Future[Any]) -> str:
    """Return why a task ended."""
    error = None if task.cancelled() else task.exception()
    return said(error) if error else "it was cancelled"


def _telling(word: _Word) -> Callable[[Future[Any]], None]:
    return lambda _: word()
