"""What an executor answers on its control socket."""

import importlib.metadata
import itertools
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from rhapsody_parsl.control.messages import (
    Answer,
    Cancelled,
    CancelTasks,
    DrainBlocks,
    Draining,
    Files,
    FindLogs,
    ListTasks,
    OrderService,
    Request,
    RunFacts,
    RunView,
    Services,
    TaskTable,
    View,
)
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.log_files import LogFiles
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.task_table import Held, table, why_undelivered
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.views import ExecutorView

__all__ = ("Answers", "Controlled")

_PILOTS_ANSWER_WITHIN = 2.0


class Controlled(Protocol):
    """The part of an executor that people may ask."""

    label: str
    services: ExecutorServices

    @property
    def tasks(self) -> dict[object, Future[Any]]:
        """Return the futures of tasks that have not ended, by number."""

    def view(self) -> ExecutorView:
        """Return how everything is."""

    def job_states(self) -> dict[str, str]:
        """Return the state of the provider's job of each block."""

    def drain(self, blocks: Collection[str] | None = None) -> list[str]:
        """Have blocks finish what they have begun, and leave; return these."""


class Answers:
    """Answers requests about one executor.

    Args:
        executor: The executor.
        link: Its line to the pilots.
        folder: Its folder of the run directory.
    """

    def __init__(self, executor: Controlled, link: Link, folder: Path) -> None:
        self._executor, self._link, self._folder = executor, link, folder
        self._questions = itertools.count(1)
        self._facts = RunFacts(
            label=executor.label,
            host=socket.gethostname(),
            pid=os.getpid(),
            folder=str(folder),
            version=importlib.metadata.version("rhapsody-parsl"),
            began=time.time(),
        )
        self._logs = LogFiles(folder, executor.services)
        self._by_kind: dict[type, Callable[[Any], Answer]] = {
            View: self._view,
            ListTasks: self._table,
            CancelTasks: self._cancel,
            DrainBlocks: self._drain,
            OrderService: self._order,
            FindLogs: self._find,
        }

    def answer(self, request: Request) -> Answer:
        """Answer one.

        Raises:
            RhapsodyError: It cannot be done.
        """
        return self._by_kind[type(request)](request)

    def _view(self, request: View) -> RunView:
        view = self._executor.view()
        delivered = sum(len(block.tasks) for block in self._link.blocks)
        return RunView(
            run=self._facts,
            view=view,
            undelivered=max(0, view.outstanding - delivered),
            jobs=self._executor.job_states(),
            now=time.time(),
        )

    # --- tasks ---------------------------------------------------------------------------------------------------

    def _table(self, request: ListTasks) -> TaskTable:
        held = self._held()
        listed = held.of_app(request.app)[: request.most] if request.most else []
        return table(held, self._examine(listed), self._link.blocks.tally.by_app(), listed, app=request.app)

    def _held(self) -> Held:
        blocks = list(self._link.blocks)
        cold = why_undelivered(blocks, self._executor.job_states())
        return Held(self._link.waiting(), {block.id: list(block.tasks.values()) for block in blocks}, cold)

    def _examine(self, tasks: Iterable[int]) -> dict[str, Examined]:
        return self._link.examine(Examine(next(self._questions), tuple(tasks)), _PILOTS_ANSWER_WITHIN)

    def _cancel(self, request: CancelTasks) -> Cancelled:
        of_app = self._held().of_app(request.app) if request.app else []
        cancelled, missing = list[int](), list[int]()
        for task in dict.fromkeys([*request.tasks, *of_app]):
            future = self._executor.tasks.get(task)
            (cancelled if future is not None and future.cancel() else missing).append(task)
        return Cancelled(tasks=tuple(cancelled), missing=tuple(missing))

    def _drain(self, request: DrainBlocks) -> Draining:
        wanted = request.blocks
        there = [block.id for block in self._link.blocks]
        if unknown := [id_ for id_ in wanted if id_ not in there]:
            known = ", ".join(there) or "none"
            raise RhapsodyError(f"There is no block {', '.join(unknown)}. The blocks that are there: {known}.")
        return Draining(blocks=tuple(self._executor.drain(wanted or None)))

    # --- services ------------------------------------------------------------------------------------------------

    def _order(self, request: OrderService) -> Services:
        services = self._executor.services
        if request.action != "status" and not request.name:
            raise RhapsodyError(f"Name the service to {request.action}: {', '.join(services) or 'there is none'}.")
        names = [request.name] if request.name else list(services)
        for service in (services[name] for name in names):
            if request.action == "scale":
                low, high = request.replicas
                service.scale(low if low == high else (low, high))
            elif request.action == "start":
                service.start()
            elif request.action == "stop":
                service.stop(request.drain)
            elif request.action == "restart":
                service.restart(request.drain)
        return Services(services=tuple(services[name].status() for name in names))

    # --- logs ----------------------------------------------------------------------------------------------------

    def _find(self, request: FindLogs) -> Files:
        """Return the logs of what is called so: a task that has not ended, a service, a block or a node."""
        of = request.of
        if not of.isdecimal() or int(of) not in self._executor.tasks:
            return self._logs.of(of, self._executor.view().blocks)
        examined = self._examine([int(of)]).items()
        found = next(((block, place) for block, each in examined for place in each.places), None)
        return self._logs.of_task(int(of), *found) if found else Files(of=f"task {of}, which is in no block", files=())
