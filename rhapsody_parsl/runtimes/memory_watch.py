"""`python -m rhapsody_parsl.runtimes.memory_watch ENDPOINT NAME [KEYS]`: keeps the runs on its host to their memory.

A run's processes, with all below them, may hold together what the run leases, beside what its worker held before the
task. Once they hold more they are stopped where they are (SIGSTOP), so that they grow no further, and the pilot is
told; the pilot then says what becomes of them. A process of its own, because a task can keep its own process from
looking: code in C holds Python's lock.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from rhapsody_parsl.hosts import noted
from rhapsody_parsl.hosts.descendants import end_tree
from rhapsody_parsl.hosts.guard import processes
from rhapsody_parsl.hosts.mark import Seen, folder_of
from rhapsody_parsl.hosts.process_tree import adopt_orphans, die_with_parent
from rhapsody_parsl.runtimes.memory_counts import held, resident
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.memory_messages import Exceeded, Limit, Release
from rhapsody_parsl.wire.messages import Quit, Ready, ToBackend

__all__ = ("MemoryWatch",)

_GROWTH = 4e9
"""Bytes a second: how fast we take a task to grow, which says when to look again."""
_SOONEST, _LATEST = 0.02, 0.5
"""Seconds between looks."""
_SPACING = 5
"""How many times as long as a look took we wait before the next one."""
_REST, _LONGEST_REST = 25, 2.0
"""How many times as long as a costly look took we wait before the next one: 4 % of a core; and seconds at most."""
_STEP = 0.05
"""Part of its limit by which a run must have grown for another costly count before its time."""


class _Limited:
    """A run on this host: its first processes, all of its processes as last seen, and what they may hold.

    Args:
        limit: As the pilot says.
        folder: Private, on this host.
    """

    def __init__(self, limit: Limit, folder: str) -> None:
        self.run, self.pids, self._notes, self._folder = limit.run, limit.pids, limit.noted, folder
        self._workers = set(limit.pids.values())
        self._marks: dict[int, Seen] = {}
        for name, pid in limit.pids.items():
            with suppress(OSError, ValueError):  # a process that leaves no mark has nothing from before
                self._marks[pid] = Seen(folder, name)
        self.noted: set[int] = set()
        self.tree = set(self._workers)
        self.stopped = False
        self.allow(limit.memory)

    def allow(self, memory: int) -> None:
        """It may hold so many bytes from now on."""
        self.memory, self.room = memory, float(memory)
        self.count_at = 0.0  # how much has to be resident for another costly count before its time
        self.not_before = 0.0  # that time

    def find(self) -> None:
        """Learn who works for the run by a note of its own."""
        if self._notes:
            self.noted = noted.noted(self._folder, self.run)
            self.tree |= self.noted

    @property
    def roots(self) -> set[int]:
        """Its first processes."""
        return self._workers | self.noted

    def forget(self) -> None:
        """Remove what was noted."""
        if self._notes:
            noted.forget(self._folder, self.run)

    def begun(self) -> dict[int, tuple[int, int]] | None:
        """Return each worker's task and what it held before; None while one is not at this run's tasks yet."""
        marks = {pid: mark.read() for pid, mark in self._marks.items()}
        if any(run != self.run for _, run, _ in marks.values()):
            return None
        return {pid: (task, before) for pid, (task, _, before) in marks.items()}


class MemoryWatch:
    """The limits of the runs on this host, and what their processes hold.

    Args:
        folder: Private, on this host, where workers leave marks and others notes.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._limited: dict[int, _Limited] = {}
        self._trees_at = self._cost = 0.0

    def limit(self, limit: Limit) -> None:
        """Keep a run's processes to so many bytes, from now on; those stopped at less go on."""
        known = self._limited.get(limit.run)
        if known is None or known.pids != limit.pids:
            self._limited[limit.run] = _Limited(limit, self._folder)
            self._trees_at = 0.0
            return
        if known.stopped and limit.memory > known.memory:
            known.stopped = False
            _signal(known.tree, signal.SIGCONT)
        known.allow(limit.memory)

    def release(self, run: int, stopped: str) -> None:
        """Keep a run to nothing any more.

        Args:
            run: The run.
            stopped: What becomes of its processes: see `Release`.
        """
        limited = self._limited.pop(run, None)
        if limited is None:
            return
        limited.find()
        limited.forget()
        roots = limited.roots if limited.stopped else limited.noted  # else a worker may be another run's by now
        for root in roots if stopped == "kill" else ():
            end_tree(root)
        if limited.stopped and stopped != "stay":
            _signal(limited.tree, signal.SIGCONT)  # after a kill: what tidies up after the dead was spared

    def look(self) -> list[Exceeded]:
        """Stop the runs that have exceeded their limit, and return what to say of them."""
        if not self._limited:
            return []
        began = time.monotonic()
        self._see_trees()
        found = [self._look_at(limited) for limited in self._limited.values() if not limited.stopped]
        self._cost = time.monotonic() - began
        return [exceeded for exceeded in found if exceeded]

    def pause(self) -> float | None:
        """Return in how many seconds to look again; None while there is nothing to look at."""
        rooms = [limited.room for limited in self._limited.values() if not limited.stopped]
        return min(max(min(rooms) / _GROWTH, _SOONEST, _SPACING * self._cost), _LATEST) if rooms else None

    def _see_trees(self) -> None:
        """Learn which processes there are below those we know, not at each look: all processes are read for it."""
        for limited in self._limited.values():
            limited.find()
        began = time.monotonic()
        if began < self._trees_at:
            return
        children = _children()
        for limited in self._limited.values():
            limited.tree = _below(limited.roots, children)
        now = time.monotonic()
        self._trees_at = now + min(_REST * (now - began), _LONGEST_REST)

    def _look_at(self, limited: _Limited) -> Exceeded | None:
        begun = limited.begun()
        if begun is None:
            return None
        allowed = limited.memory + sum(before for _, before in begun.values())
        if self._count(limited, allowed) <= allowed:
            return None
        _stop(limited)
        if limited.begun() != begun:  # what held so much is over, and another task has begun
            _signal(limited.tree, signal.SIGCONT)
            return None
        limited.stopped = True
        most = max(_held(limited), allowed + 1)
        return Exceeded(limited.run, most - allowed + limited.memory)

    def _count(self, limited: _Limited, allowed: int) -> int:
        """Return what a run's processes hold, or less if it is within what is allowed; what is resident is soon read.

        Together they hold no more than what is resident, and no less than the anonymous pages of any one. Only between
        the two it has to be counted exactly.
        """
        seen = [resident(pid) for pid in limited.tree]
        total = sum(pages for pages, _ in seen)
        limited.room = allowed - total
        if total <= allowed:
            return 0
        if (alone := max(pages for _, pages in seen)) > allowed:
            return alone
        if total < limited.count_at and time.monotonic() < limited.not_before:
            return 0
        began = time.monotonic()
        exact = _held(limited)
        limited.room = allowed - exact
        limited.count_at = total + max(limited.room, _STEP * limited.memory)
        now = time.monotonic()
        limited.not_before = now + min(_REST * (now - began), _LONGEST_REST)
        return exact


def _held(limited: _Limited) -> int:
    return sum(map(held, limited.tree))


def _stop(limited: _Limited) -> None:
    """Stop all of a run's processes, also those that they start meanwhile."""
    stopped: set[int] = set()
    while fresh := limited.tree - stopped:
        _signal(fresh, signal.SIGSTOP)
        stopped |= fresh
        limited.tree = _below(limited.roots, _children())


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _children() -> dict[int, list[int]]:
    """Return the process ids of each process's children."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in processes().items():
        children.setdefault(parent, []).append(pid)
    return children


def _below(roots: Collection[int], children: dict[int, list[int]]) -> set[int]:
    found, grown = set(roots), list(roots)
    while grown:
        fresh = [pid for parent in grown for pid in children.get(parent, ()) if pid not in found]
        found.update(fresh)
        grown = fresh
    return found


class _Server:
    """Listens to the pilot between looks.

    Args:
        spoke: To the pilot.
        watch: Told what the pilot says.
    """

    def __init__(self, spoke: Spoke, watch: MemoryWatch) -> None:
        self._spoke, self._watch = spoke, watch
        self._poller = select.poll()
        self._poller.register(spoke, select.POLLIN)
        self._alone = self._spoke.end_descriptor()
        self._poller.register(self._alone, select.POLLIN)

    def serve(self) -> None:
        """Do as told until the pilot says quit or is gone."""
        while True:
            while (message := self._spoke.receive_nowait()) is not None:
                if not self._take(message):
                    return
            for exceeded in self._watch.look():
                self._spoke.send(exceeded)
            pause = self._watch.pause()
            for source, _ in self._poller.poll(None if pause is None else 1000 * pause):
                if source == self._alone:
                    return

    def _take(self, message: ToBackend) -> bool:
        match message:
            case Limit() as limit:
                self._watch.limit(limit)
            case Release(run=run, stopped=stopped):
                self._watch.release(run, stopped)
            case Quit():
                return False
            case other:
                raise TypeError(f"a memory watch does not understand {type(other).__name__}")
        return True


def main(arguments: list[str]) -> None:
    """Serve the hub at `arguments[0]` under the name `arguments[1]`."""
    die_with_parent()
    adopt_orphans()
    endpoint, name, *keys = arguments
    spoke = Spoke(endpoint, name, Keys.load(Path(keys[0])) if keys else None)
    spoke.send(Ready(os.uname().nodename, os.getpid()))
    _Server(spoke, MemoryWatch(folder_of(endpoint, keys))).serve()
    spoke.close()


if __name__ == "__main__":
    main(sys.argv[1:])
