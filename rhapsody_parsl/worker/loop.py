"""The resident worker: the main thread takes work, runs it and sends the results; a listener hears the pilot meanwhile.

Two threads, because a worker in the middle of a task must still hear that the tasks behind it are wanted elsewhere,
that the task itself is to end, and that the pilot is gone.
"""

import os
import socket
import traceback
from functools import partial
from typing import Protocol

from rhapsody_parsl.hosts.mark import Mark, folder_of, made
from rhapsody_parsl.hosts.process_tree import adopt_orphans, end_below
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.messages import (
    ChildrenEnded,
    Deliver,
    Quit,
    Ready,
    Recall,
    Result,
    Returned,
    Task,
    ToBackend,
    Work,
    WorldFacts,
)
from rhapsody_parsl.wire.piece_messages import ChildPieces, More
from rhapsody_parsl.wire.shared_memory import deliver, opened
from rhapsody_parsl.wire.value_messages import ValueHere
from rhapsody_parsl.worker import line
from rhapsody_parsl.worker.footing import own_descriptors, prepare
from rhapsody_parsl.worker.inbox import Inbox, Listener
from rhapsody_parsl.worker.memory import Before, lighten
from rhapsody_parsl.worker.outbox import Outbox
from rhapsody_parsl.worker.outlet import Outlet
from rhapsody_parsl.worker.task_environment import TaskEnvironment

__all__ = ("Runner", "serve")


class Ear:
    """Takes in what the pilot says; one thread at a time.

    Args:
        spoke: To the pilot.
        outbox: Sent whenever the pilot wants something back: a result may wait there behind a long task.
        mark: The inbox's.

    Attributes:
        inbox: Where work goes.
    """

    def __init__(self, spoke: Spoke, outbox: Outbox, mark: Mark | None) -> None:
        self._spoke, self._outbox = spoke, outbox
        self.inbox = Inbox(self._hear, mark, self._take_ahead, lambda: spoke.has_arrived)

    def _hear(self) -> None:
        """Wait for a message and take it; the process ends here when told to quit, or when the pilot is gone."""
        stays = False
        try:
            stays = (message := self._spoke.receive()) is not None and self._take(message)
        finally:
            if not stays:
                self._leave()

    def _take_ahead(self) -> bool:
        """Wait for messages and take in those that a waiting task may, see `Inbox`; return whether there were some."""
        skipped, taken = self._spoke.skipped, 0
        for message, end in self._spoke.peek():
            if not line.take_ahead(message):
                break
            taken = end
        if taken:
            self._spoke.skip(taken, skipped)
        return bool(taken)

    def _leave(self) -> None:
        try:
            end_below()
            self._outbox.flush()
            self._spoke.close()
        finally:
            os._exit(0)

    def _take(self, message: ToBackend) -> bool:
        match message:
            case Work() as work:
                self.inbox.put(work)
            case Recall() as recall:
                return self._recall(recall)
            case ChildAnswer() | ChildrenEnded() | ChildPieces() | Deliver() | ValueHere():
                line.take(message)
            case More(task=task) as more:
                if flow := self._outbox.flows.get(task):
                    flow.more(more)
            case Quit():
                return False
            case other:
                raise TypeError(f"a worker does not understand {type(other).__name__}")
        return True

    def _recall(self, recall: Recall) -> bool:
        taken, running = self.inbox.recall(recall.run, recall.tasks, recall.kill)
        kill = recall.kill and running
        if kill:
            self._outbox.seal()
        else:
            self._outbox.flush()
        self._spoke.send(Returned(recall.run, taken))
        return not kill


class Runner:
    """Runs work in the main thread, one task after the other, and reports in batches."""

    def __init__(self, inbox: Inbox, outbox: Outbox, before: Before) -> None:
        self._inbox, self._outbox, self._before = inbox, outbox, before
        self._surroundings = TaskEnvironment()

    def run(self) -> None:
        """Run what comes in, for ever."""
        while True:
            self._run_work(self._inbox.get())

    def _run_work(self, work: Work) -> None:
        self._surroundings.suit(work)
        self._outbox.flush()
        if work.mode == "together":
            self._run_together(work)
            return
        for task in work.tasks:
            if work.memory and self._before.note(work.run) > work.memory // 2:
                self._leave()
            if self._inbox.begin(work.run, task.id):
                result = self._run_where_wanted(work, task)
                self._outbox.put(work.run, deliver(result, work.shared_folder), task.asker)
                self._inbox.end()
                is_last = task is work.tasks[-1]
                if is_last:
                    self._outbox.flush()  # its result need not wait for what follows
                if not self._surroundings.put_right(1.0 if is_last else result.seconds):
                    self._leave()
        self._outbox.flush()

    def _run_together(self, work: Work) -> None:
        """Run tasks side by side, with those that come meanwhile."""
        from rhapsody_parsl.worker.together import Together  # noqa: PLC0415 - asyncio is paid for with the first such app

        if work.memory:
            lighten()
        Together(self._inbox, self._outbox).run(work)
        self._outbox.flush()
        if not self._surroundings.put_right():
            self._leave()

    def _leave(self) -> None:
        """Earlier tasks left too much here for those that have not begun: another worker takes them."""
        end_below()
        self._outbox.flush()
        os._exit(0)

    def _run_where_wanted(self, work: Work, task: Task) -> Result:
        if work.setting is None:
            return self._run_told(work, task)
        from rhapsody_parsl.worker.setting import run_in  # noqa: PLC0415 - few tasks need it

        return run_in(work.setting, task, lambda: self._run_told(work, task))

    def _run_told(self, work: Work, task: Task) -> Result:
        """Run a task, which may get a signal before the block ends."""
        if not work.signal:
            return self._run_task(work, task)
        from rhapsody_parsl.worker.notice import Notice  # noqa: PLC0415 - few tasks want one

        with Notice(work):
            return self._run_task(work, task)

    def _run_task(self, work: Work, task: Task) -> Result:
        payload = opened(task)
        outlet = Outlet(task.id, partial(self._outbox.send_piece, work.run), self._outbox.flows)
        if work.mode == "process":
            from rhapsody_parsl.worker.fresh import run_in_fresh_process  # noqa: PLC0415 - few tasks want one

            return run_in_fresh_process(task.id, payload, outlet)
        from rhapsody_parsl.worker.call import call  # noqa: PLC0415 - dill is paid for with the first task

        if work.mode == "prompt":
            from rhapsody_parsl.worker.prompt import call_body  # noqa: PLC0415 - as above

            return call_body(task.id, payload, task.request)
        return call(task.id, payload, outlet=outlet)


class Runs(Protocol):
    """What runs work in the main thread."""

    def __init__(self, inbox: Inbox, outbox: Outbox, before: Before) -> None: ...

    def run(self) -> None:
        """Run what comes in, for ever."""


def serve(
    endpoint: str,
    name: str,
    runner: type[Runs] = Runner,
    *,
    facts: WorldFacts | None = None,
) -> None:
    """Be a worker until told to leave or the pilot is gone; returns never: the process ends here.

    Args:
        endpoint: The hub's.
        name: Ours.
        runner: Runs the work.
        facts: Of our world, when we are a rank.
    """
    folder = folder_of(endpoint)
    mark = made(folder, name)
    adopt_orphans()
    prepare(folder)
    spoke = Spoke(endpoint, name)
    outbox = Outbox(spoke)
    inbox = Ear(spoke, outbox, mark).inbox
    line.Here.endpoint = endpoint
    line.join(line.WorkerLine(spoke, inbox))
    Listener(inbox).start()  # a process limit may forbid it, and who is not complete is not ready
    spoke.send(Ready(socket.gethostname(), os.getpid(), facts))
    runs = runner(inbox, outbox, Before(mark))
    own_descriptors()
    try:
        runs.run()
    except BaseException:  # noqa: BLE001 - at its own end Python waits for threads of tasks, and MPI for other ranks
        traceback.print_exc()
        end_below()
        os._exit(1)
