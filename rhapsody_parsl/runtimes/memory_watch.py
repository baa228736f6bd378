"""`python -m rhapsody_parsl.runtimes.memory_watch ENDPOINT NAME [KEYS]`: keeps the runs on its host to their memory.

A run's processes, with all below them, may hold together what the run leases. Once they hold more they are stopped
where they are (SIGSTOP), so that they grow no further, and the pilot is told; the pilot then says what becomes of them.
A process of its own, because a task can keep its own process from looking: code in C holds Python's lock.

What counts is what the kernel cannot take away: anonymous and shared memory, swapped or not, each shared page by parts.
Pages of files that are only mapped do not count.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from rhapsody_parsl.cluster.guard import processes
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.messages import Exceeded, Limit, Quit, Ready, Release, ToBackend
from rhapsody_parsl.worker.process_tree import adopt_orphans, die_with_parent, end_tree

__all__ = ("MemoryWatch",)

_PAGE = os.sysconf("SC_PAGE_SIZE")
_GROWTH = 4e9
"""Bytes a second: how fast we take a task to grow, which says when to look again."""
_SOONEST, _LATEST = 0.02, 0.5
"""Seconds between looks."""
_REST = 25
"""How many times as long as a costly look took we wait before the next one: 4 % of a core."""
_COUNTED = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


class _Limited:
    """A run on this host: its first processes, all of its processes as last seen, and what they may hold."""

    def __init__(self, pids: Collection[int], memory: int) -> None:
        self.roots, self.memory = tuple(pids), memory
        self.tree: set[int] = set(pids)
        self.stopped = False
        self.room = float(memory)
        self.not_before = 0.0  # when a costly count may be made again


class MemoryWatch:
    """The limits of the runs on this host, and what their processes hold."""

    def __init__(self) -> None:
        self._limited: dict[int, _Limited] = {}
        self._trees_at = 0.0

    def limit(self, run: int, pids: Collection[int], memory: int) -> None:
        """Keep a run's processes to so many bytes, from now on; those stopped at less go on."""
        known = self._limited.get(run)
        if known is None or known.roots != tuple(pids):
            self._limited[run] = _Limited(pids, memory)
            self._trees_at = 0.0
            return
        if known.stopped and memory > known.memory:
            known.stopped = False
            _signal(known.tree, signal.SIGCONT)
        known.memory, known.room = memory, float(memory)

    def release(self, run: int, stopped: str) -> None:
        """Keep a run to nothing any more.

        Args:
            run: The run.
            stopped: What becomes of its processes if they were stopped: see `Release`.
        """
        limited = self._limited.pop(run, None)
        if limited is None or not limited.stopped or stopped == "stay":
            return
        for root in limited.roots if stopped == "kill" else ():
            end_tree(root)
        _signal(limited.tree, signal.SIGCONT)  # after a kill: what tidies up after the dead was spared

    def look(self) -> list[Exceeded]:
        """Stop the runs that have exceeded their limit, and return what to say of them."""
        if not self._limited:
            return []
        self._see_trees()
        exceeded = []
        for run, limited in self._limited.items():
            if not limited.stopped and (peak := self._count(limited)) > limited.memory:
                limited.stopped = True
                _stop(limited)
                exceeded.append(Exceeded(run, peak))
        return exceeded

    def pause(self) -> float | None:
        """Return in how many seconds to look again; None while there is nothing to look at."""
        rooms = [limited.room for limited in self._limited.values() if not limited.stopped]
        return min(max(min(rooms) / _GROWTH, _SOONEST), _LATEST) if rooms else None

    def _see_trees(self) -> None:
        """Learn which processes there are below those we know, not at each look: all processes are read for it."""
        began = time.monotonic()
        if began < self._trees_at:
            return
        children = _children()
        for limited in self._limited.values():
            limited.tree = _below(limited.roots, children)
        now = time.monotonic()
        self._trees_at = now + _REST * (now - began)

    def _count(self, limited: _Limited) -> int:
        """Return what a run's processes hold; what is resident is quickly read, and no less than that."""
        resident = sum(map(_resident, limited.tree))
        limited.room = limited.memory - resident
        began = time.monotonic()
        if resident <= limited.memory or began < limited.not_before:
            return 0
        held = sum(map(_held, limited.tree))
        limited.room = limited.memory - held
        now = time.monotonic()
        limited.not_before = now + _REST * (now - began)
        return held


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


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as pages:
            return int(pages.read().split(None, 2)[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it has ended


def _held(pid: int) -> int:
    """Return the bytes that a process holds for good, its part of what it shares."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            lines = [line.split() for line in rollup]
    except OSError:
        return 0  # it has ended
    return sum(int(line[1]) * 1024 for line in lines if line[0] in _COUNTED)


class _Server:
    """Listens to the pilot between looks.

    Args:
        spoke: To the pilot.
    """

    def __init__(self, spoke: Spoke) -> None:
        self._spoke, self._watch = spoke, MemoryWatch()
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
            case Limit(run=run, pids=pids, memory=memory):
                self._watch.limit(run, pids, memory)
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
    _Server(spoke).serve()
    spoke.close()


if __name__ == "__main__":
    main(sys.argv[1:])
