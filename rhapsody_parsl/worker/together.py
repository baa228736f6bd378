"""Runs the coroutines of a run side by side, on the process's event loop: `Policy(concurrency=n)`."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import Any

from rhapsody_parsl.errors import TaskCancelled
from rhapsody_parsl.hosts.process_tree import end_below
from rhapsody_parsl.wire.messages import Result, Task, Work, failed
from rhapsody_parsl.wire.shared_memory import deliver, opened
from rhapsody_parsl.worker.call import ended, pack
from rhapsody_parsl.worker.coroutines import awaited, awaited_call
from rhapsody_parsl.worker.inbox import Inbox
from rhapsody_parsl.worker.outbox import Outbox
from rhapsody_parsl.worker.outlet import Outlet
from rhapsody_parsl.worker.setting import entered, unusable
from rhapsody_parsl.worker.user_code import end_leftovers

__all__ = ("Together",)

_HEED_WITHIN = 1.0
"""Seconds for a coroutine that is cancelled; then its process ends, and the others with it."""


class Together:
    """The tasks of one run, all begun.

    Args:
        inbox: Tells of further work, and of tasks to cancel, while they run.
        outbox: Takes their results.
    """

    def __init__(self, inbox: Inbox, outbox: Outbox) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._running: dict[int, asyncio.Task[None]] = {}
        self._unwanted: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._flushing = False
        self._problem: BaseException | None = None

    def run(self, work: Work) -> None:
        """Run this and what comes of its run meanwhile; the main thread's."""
        with ExitStack() as stack:
            try:
                if work.setting:
                    stack.enter_context(entered(work.setting, ""))
            except OSError as problem:
                for task in self._begun(work):
                    self._outbox.put(work.run, unusable(work.setting, task, problem))  # type: ignore[arg-type]  # there is one
                return
            try:
                awaited(self._serve(work))
            finally:
                end_leftovers()

    def _begun(self, work: Work) -> list[Task]:
        return [task for task in work.tasks if self._inbox.begin_beside(work.run, task.id)]

    async def _serve(self, work: Work) -> None:
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._inbox.beside = self
        self._news.set()  # some may have come before
        try:
            self._begin(work)
            while self._running:
                await self._news.wait()
                self._news.clear()
                if self._problem:
                    raise self._problem  # our process ends: what it holds is told as lost, and not waited for
                while self._running and (more := self._inbox.get_nowait()):
                    self._begin(more)
        finally:
            self._inbox.beside = None

    def _begin(self, work: Work) -> None:
        for task in self._begun(work):
            self._running[task.id] = one = asyncio.create_task(self._one(work, task))
            one.add_done_callback(self._look_at)

    async def _one(self, work: Work, task: Task) -> None:
        result = await self._result(work, task)
        if task.id in self._unwanted:
            self._unwanted.discard(task.id)
            result = failed(task.id, TaskCancelled())
        self._outbox.put(work.run, deliver(result, work.shared_folder), task.asker)
        del self._running[task.id]
        self._news.set()
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)  # with what else ends in this turn

    def _look_at(self, one: asyncio.Task[None]) -> None:
        if not one.cancelled() and (problem := one.exception()):
            self._break(problem)

    def _break(self, problem: BaseException) -> None:
        """A result cannot be told."""
        self._problem = problem
        self._news.set()

    def _flush(self) -> None:
        self._flushing = False
        try:
            self._outbox.flush()
        except Exception as problem:  # noqa: BLE001 - the loop would only log it
            self._break(problem)

    async def _result(self, work: Work, task: Task) -> Result:
        outlet = Outlet(task.id, partial(self._outbox.send_piece, work.run), self._outbox.flows)
        began = time.perf_counter()
        try:
            value: Any = await awaited_call(opened(task), outlet)
        except BaseException as problem:  # noqa: BLE001 - the user's exception, whatever it is, is the task's result
            return ended(task.id, problem, time.perf_counter() - began)
        return pack(task.id, value, time.perf_counter() - began)

    # --- what the inbox asks, on the listener's thread -----------------------------------------------------------

    def look(self) -> None:
        """There is work."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._news.set)

    def cancel(self, tasks: Collection[int]) -> None:
        """Cancel these; one that does not heed it ends the process."""
        if self._loop and (running := [task for task in tasks if task in self._running]):
            self._loop.call_soon_threadsafe(self._cancel, running)
            timer = threading.Timer(_HEED_WITHIN, self._end_deaf, [running])
            timer.daemon = True
            timer.start()

    def _cancel(self, tasks: Collection[int]) -> None:
        for task in tasks:
            if running := self._running.get(task):
                self._unwanted.add(task)
                running.cancel()

    def _end_deaf(self, tasks: Collection[int]) -> None:
        if deaf := [task for task in tasks if task in self._running]:
            print(f"tasks {deaf} did not heed being cancelled: their worker ends", file=sys.stderr, flush=True)  # noqa: T201 - into its log
            try:
                self._outbox.seal()
                end_below()
            finally:
                os._exit(0)
