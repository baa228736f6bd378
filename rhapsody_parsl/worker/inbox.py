"""Work that came and has not begun, and who receives it: the main thread while it is free, else the listener."""

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from rhapsody_parsl.hosts.mark import Mark
from rhapsody_parsl.wire.messages import Work

__all__ = ("Awaited", "Inbox", "Listener")

_LONG = 0.01
"""Seconds a task may run before somebody listens for what the pilot says meanwhile."""
_SOON = 0.001
"""The same after it has asked the pilot something, when it has waited for the last answer itself."""
_libc = ctypes.PyDLL(None)  # its calls take a microsecond: nobody else need have the interpreter for that


class _Interval(ctypes.Structure):
    _fields_ = [("every_s", ctypes.c_long), ("every_ns", ctypes.c_long), ("s", ctypes.c_long), ("ns", ctypes.c_long)]


def _after(seconds: float) -> _Interval:
    return _Interval(0, 0, int(seconds), int(seconds % 1 * 1e9))


class _Alarm:
    """Wakes a thread some time after it was set last, for one call to the kernel a setting (Linux's timerfd).

    Args:
        long: Seconds.
        soon: Seconds.
    """

    def __init__(self, long: float, soon: float) -> None:
        self._descriptor = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError("the kernel gave no timer")
        settings = (ctypes.byref(_after(each)) for each in (long, soon, 1e-9, 0))
        self._long, self._soon, self._now, self._never = settings

    def set(self) -> None:
        """Start anew."""
        _libc.timerfd_settime(self._descriptor, 0, self._long, None)

    def go_off_soon(self) -> None:
        """Start anew, for the short time."""
        _libc.timerfd_settime(self._descriptor, 0, self._soon, None)

    def stop(self) -> None:
        """Do not go off."""
        _libc.timerfd_settime(self._descriptor, 0, self._never, None)

    def go_off(self) -> None:
        """Go off now."""
        _libc.timerfd_settime(self._descriptor, 0, self._now, None)

    def wait(self) -> None:
        """Wait until it has gone off."""
        os.read(self._descriptor, 8)


class Awaited(Protocol):
    """What a task waits for."""

    def done(self) -> bool:
        """Whether it is there."""


class Beside(Protocol):
    """Who runs tasks side by side in the main thread."""

    def look(self) -> None:
        """There is work."""

    def cancel(self, tasks: Collection[int]) -> None:
        """Cancel these."""


class Inbox:
    """Work not yet begun, shared by the two threads.

    The main thread receives when it has nothing to do: a change of thread would cost a short task some twenty
    microseconds. The listener takes over from one that has been at work for long, and gives back with the first work
    for one that waits.

    A task that waits for an answer of the pilot hears it itself, too, where nobody listens. Anything may be raised in
    it at any moment, by a signal's handler for one. So it looks at what has come, gives answers to who waits in such a
    way that twice does no harm, and takes them last. All else it leaves to the listener.

    Args:
        hear: Waits for a message of the pilot and takes it in; called by one thread at a time.
        mark: Tells after our end which task we began last, for whoever wants to know.
        ahead: Waits for messages of the pilot and takes in those that a waiting task may; returns whether there were
            some. None where a task takes none.
        rest: Whether messages were read that nobody has taken in.

    Attributes:
        beside: Who runs tasks side by side now; None for one after the other.
    """

    def __init__(
        self,
        hear: Callable[[], None],
        mark: Mark | None = None,
        ahead: Callable[[], bool] = lambda: False,
        rest: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hear, self._ahead, self._rest = hear, ahead, rest
        self._hearing = threading.RLock()  # of who hears during a task: the listener, or the task and its handlers
        self._awaited: Awaited | None = None
        self._others = 0
        self._lock = threading.Lock()
        self._mark = mark
        self._begun: tuple[int, int] | None = None
        self._pending: dict[tuple[int, int], None] = {}
        self._queue: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._alarm = _Alarm(_LONG, _SOON)
        self._at_work = self._waits = self._listens = self._leads = False
        self.beside: Beside | None = None

    def put(self, work: Work) -> None:
        """Queue work."""
        with self._lock:
            self._pending.update(dict.fromkeys((work.run, task.id) for task in work.tasks))
            if self._waits:
                self._waits = self._listens = False
            self._queue.put(work)
        if beside := self.beside:
            beside.look()

    def get_nowait(self) -> Work | None:
        """Return the next work if there is some; the main thread's, which runs tasks side by side."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def get(self) -> Work:
        """Wait for the next work; the main thread's."""
        with self._lock:
            self._at_work = self._leads = False
            another_listens = self._waits = self._listens
        while not another_listens and self._queue.empty():
            self._hear()
        work = self._queue.get()
        with self._lock:
            self._waits = False
            self._at_work = True
        self._alarm.set()
        return work

    def listen(self) -> None:
        """Wait until the main thread has been at work for long, and receive until it waits; the listener's."""
        self._alarm.wait()
        if not self._hearing.acquire(blocking=False):
            return  # the task hears, and sets the alarm when it does no more
        try:
            with self._lock:
                self._listens, self._leads = self._at_work, False
            while self._listens:
                self._hear()
                self._give_way()
        finally:
            self._hearing.release()

    def _give_way(self) -> None:
        """Leave it to the task to hear the next answers, when what it has waited for is there."""
        with self._lock:
            if self._waits or self._others or self._awaited is None or not self._awaited.done() or self._rest():
                return
            self._awaited, self._listens, self._leads = None, False, True
        self._alarm.set()

    def wait_for(self, awaited: Awaited) -> None:
        """Hear the pilot until something is there, or return before where the listener has to; the main thread's."""
        self._awaited = awaited
        while not (self._listens or awaited.done()):
            with self._hearing:
                try:
                    self._alarm.stop()
                    while not awaited.done() and self._ahead():
                        pass
                finally:
                    self._leads = awaited.done()
                    self._alarm.set() if self._leads and not self._others else self._alarm.go_off()
            if not self._leads:
                return

    @contextmanager
    def waiting_beside(self) -> Iterator[None]:
        """Another thread of the task waits for an answer: the listener hears meanwhile."""
        with self._lock:
            self._others += 1
        try:
            if not self._listens:
                self._alarm.go_off()
            yield
        finally:
            with self._lock:
                self._others -= 1

    def at_work_on(self) -> int:
        """Return the number of the task that has begun, 0 while none has."""
        begun = self._begun
        return begun[1] if begun else 0

    def listen_soon(self) -> None:
        """See that the pilot is heard: a task that is at work waits for it."""
        if not self._listens:
            self._alarm.go_off()

    def listen_later(self) -> None:
        """See that the pilot is heard, unless the task waits at once: it has asked something."""
        if self._leads:
            self._alarm.go_off_soon()
        elif not self._listens:
            self._alarm.go_off()

    def hear_on_listener(self) -> bool:
        """Wait for a message and take it in, on the listener's thread; False on any other."""
        if not isinstance(threading.current_thread(), Listener):
            return False
        self._hear()
        return True

    def begin(self, run: int, task: int) -> bool:
        """Claim a task; False when it was recalled meanwhile."""
        key = (run, task)
        with self._lock:
            if self._pending.pop(key, key) is None:
                self._begun = key
                if self._mark:
                    self._mark.begin(task)
                return True
            return False

    def begin_beside(self, run: int, task: int) -> bool:
        """Claim a task that runs beside others: to kill it does not end the process; False as above."""
        begun = self.begin(run, task)
        self.end()
        return begun

    def end(self) -> None:
        """The task that was begun has ended."""
        with self._lock:
            self._begun = None

    def recall(self, run: int, tasks: list[int], kill: bool = False) -> tuple[list[int], bool]:
        """Take back tasks; return those that had not begun, and whether one of the others runs now.

        When that one is to be killed, the process ends with it: then all that had not begun is taken back.
        """
        with self._lock:
            running = self._begun is not None and self._begun[0] == run and self._begun[1] in tasks
            wanted = [task for own, task in self._pending if own == run] if running and kill else tasks
            taken = [task for task in wanted if (run, task) in self._pending]
            for task in taken:
                del self._pending[run, task]
        if kill and (beside := self.beside):
            beside.cancel(tasks)
        return taken, running


class Listener(threading.Thread):
    """Receives for the main thread while that is at work for long."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(name="listener", daemon=True)
        self._inbox = inbox

    def run(self) -> None:
        """Listen whenever needed, for ever."""
        while True:
            self._inbox.listen()
