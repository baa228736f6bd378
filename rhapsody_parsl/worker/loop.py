"""The resident worker: the main thread takes work, runs it and sends the results; a listener hears the pilot meanwhile.

Two threads, because a worker in the middle of a task must still hear that the tasks behind it are wanted elsewhere,
that the task itself is to end, and that the pilot is gone.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO, Protocol, cast

import msgspec

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.hosts.mark import Mark, folder_of, made
from rhapsody_parsl.hosts.process_tree import adopt_orphans, end_below
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.messages import (
    ChildrenEnded,
    Done,
    Failed,
    Quit,
    Ready,
    Recall,
    Result,
    Returned,
    Task,
    ToBackend,
    Work,
    WorldFacts,
    failed,
)
from rhapsody_parsl.wire.shared_memory import deliver, opened
from rhapsody_parsl.worker import line
from rhapsody_parsl.worker.footing import own_descriptors, prepare
from rhapsody_parsl.worker.inbox import Inbox, Listener
from rhapsody_parsl.worker.memory import Before
from rhapsody_parsl.worker.task_environment import TaskEnvironment

__all__ = ("Outbox", "Runner", "serve")

_FLUSH_AFTER = 0.005
_ANSWERS_OF_DRAGON = "DRAGON_GS_RET_QD"
"""Names the one channel to this process and none below it: a second one that listens there waits for ever."""
_LEAVE_WITHIN = 5.0
"""Seconds for exit handlers and threads of a fresh process whose task is over."""


class Outbox:
    """Results not yet sent, shared by the two threads: many short tasks share a message, and none waits for a long one.

    Args:
        spoke: To the pilot.
    """

    def __init__(self, spoke: Spoke) -> None:
        self._spoke = spoke
        self._lock = threading.Lock()
        self._run = 0
        self._results: list[Result] = []
        self._sealed = False
        self._flushed = time.perf_counter()

    def put(self, run: int, result: Result) -> None:
        """Take a result; all of one batch are of one run."""
        with self._lock:
            if self._sealed:
                return
            self._run = run
            self._results.append(result)
        if time.perf_counter() - self._flushed > _FLUSH_AFTER:
            self.flush()

    def flush(self) -> None:
        """Send what is there."""
        with self._lock:
            if self._results:
                self._spoke.send(Done(self._run, self._results))
                self._results = []
            self._flushed = time.perf_counter()

    def tell(self, message: Failed) -> None:
        """Send what is there, then a word of our own."""
        self.flush()
        self._spoke.send(message)

    def seal(self) -> None:
        """Send what is there and take nothing more: a task whose processes are being killed must not report that."""
        with self._lock:
            self._sealed = True
        self.flush()


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
        self.inbox = Inbox(self._hear, mark)

    def _hear(self) -> None:
        """Wait for a message and take it; the process ends here when told to quit, or when the pilot is gone."""
        stays = False
        try:
            stays = (message := self._spoke.receive()) is not None and self._take(message)
        finally:
            if not stays:
                self._leave()

    def _leave(self) -> None:
        end_below()
        self._outbox.flush()
        self._spoke.close()
        os._exit(0)

    def _take(self, message: ToBackend) -> bool:
        match message:
            case Work() as work:
                self.inbox.put(work)
            case Recall() as recall:
                return self._recall(recall)
            case ChildAnswer() | ChildrenEnded():
                line.take(message)
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
        for task in work.tasks:
            if work.memory and self._before.note(work.run) > work.memory // 2:
                self._leave()
            if self._inbox.begin(work.run, task.id):
                result = self._run_where_wanted(work, task)
                self._outbox.put(work.run, deliver(result, work.shared_folder))
                self._inbox.end()
                is_last = task is work.tasks[-1]
                if is_last:
                    self._outbox.flush()  # its result need not wait for what follows
                if not self._surroundings.put_right(1.0 if is_last else result.seconds):
                    self._leave()
        self._outbox.flush()

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
        if work.mode == "process":
            return run_in_fresh_process(task.id, payload)
        from rhapsody_parsl.worker.call import call  # noqa: PLC0415 - dill is paid for with the first task

        if work.mode == "prompt":
            from rhapsody_parsl.worker.prompt import call_body  # noqa: PLC0415 - as above

            return call_body(task.id, payload, task.request)
        return call(task.id, payload)


def run_in_fresh_process(task: int, payload: bytes | memoryview) -> Result:
    """Run one payload in a new Python process of its own session and return its result."""
    from rhapsody_parsl.worker.user_code import end_leftovers  # noqa: PLC0415 - dill is paid for with the first task

    began = time.perf_counter()
    read, write = os.pipe()
    command = [sys.executable, "-m", "rhapsody_parsl.worker.once", str(write)]
    env = {name: value for name, value in os.environ.items() if name != _ANSWERS_OF_DRAGON} | line.variable(task)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(write,), start_new_session=True, env=env)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        with suppress(BrokenPipeError), cast(BinaryIO, child.stdin) as question:
            question.write(payload)
        data = answer.read()  # before the end is waited for: a large result does not fit into the pipe
    is_late = _is_late(child)
    end_leftovers()
    if (child.returncode and not is_late) or not data:
        return failed(
            task, WorkerLost(f"fresh process {child.pid} on {socket.gethostname()}", _ending(child.returncode))
        )
    result = msgspec.msgpack.decode(data, type=Result)
    return msgspec.structs.replace(result, id=task, seconds=time.perf_counter() - began)


def _is_late(child: "subprocess.Popen[bytes]") -> bool:
    """Whether a process that has answered had to be killed: a thread that runs on keeps it from its end."""
    try:
        child.wait(_LEAVE_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return True
    return False


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it left with exit code {code}"


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
    runs.run()
