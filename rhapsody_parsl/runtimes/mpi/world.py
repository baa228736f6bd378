"""One MPI world as the pilot sees it: start it, learn who is there and who ends, end it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence

from rhapsody_parsl.cluster.guard import MPI_SEGMENTS
from rhapsody_parsl.runtimes.mpi.gang import Slot
from rhapsody_parsl.runtimes.mpi.job import Job
from rhapsody_parsl.runtimes.process import Backend
from rhapsody_parsl.wire.messages import Ready

__all__ = ("World",)


class World:
    """The ranks of one launch.

    MPI ends a world as a whole: when one rank dies the others follow. A world that must not be used any more is
    retired; it ends when the runs that are on it have.

    Args:
        name: Unique in the block.
        slots: Where its ranks live, in order.
        backend: The launch.
        on_end: Called once, with the world and how it ended.

    Attributes:
        jobs: The runs on its ranks, by run.
        ready: Whether all ranks are there.
        retired: Whether it takes no further runs.
        gone: Ranks seen to end before the others.
        failures: Tasks that failed on it; each keeps an MPI communicator from being used again.
    """

    def __init__(
        self, name: str, slots: Sequence[Slot], backend: Backend, on_end: Callable[["World", str], None]
    ) -> None:
        self.name, self.slots, self._backend, self._on_end = name, tuple(slots), backend, on_end
        self.jobs: dict[int, Job] = {}
        self.ready = self.retired = self.ended = False
        self.gone: set[int] = set()
        self.failures = 0
        self._frozen: set[int] = set()
        self._pids: dict[int, int] = {}
        self._watched: dict[int, int] = {}
        self._arrived: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._life: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._all_noted = False

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.slots)

    @property
    def busy(self) -> set[int]:
        """Ranks no further run can have."""
        return self._frozen.union(*(job.ranks for job in self.jobs.values()))

    def start(self, timeout: float) -> None:
        """Start it; `ready` is set once all ranks have reported, or it ends."""
        self._life = asyncio.create_task(self._live(timeout), name=f"watch {self.name}")

    def arrived(self, rank: int, message: Ready) -> None:
        """A rank is there."""
        self._arrived.add(rank)
        self.ready = len(self._arrived) == self.size
        if message.host != socket.gethostname():
            return
        try:
            watch = os.pidfd_open(message.pid)
        except ProcessLookupError:
            self._note_gone(rank)
            return
        self._pids[rank], self._watched[rank] = message.pid, watch
        self._loop.add_reader(watch, self._rank_ended, rank)

    def freeze(self, ranks: Iterable[int]) -> bool:
        """Stop ranks where they are, so that they use no core until the world ends; False when one is out of reach."""
        ranks = set(ranks)
        if not ranks <= set(self._pids):
            return False
        for rank in ranks:
            os.kill(self._pids[rank], signal.SIGSTOP)
        self._frozen |= ranks
        return True

    def kill(self) -> None:
        """End it; `on_end` follows."""
        if self._stop is None:
            self.retired = True
            self._stop = asyncio.create_task(self._backend.stop(), name=f"stop {self.name}")

    async def stop(self) -> None:
        """End it; returns when all of it is gone."""
        self.kill()
        if self._stop:
            await self._stop
        if self._life:
            await self._life

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._backend.last_words()

    async def _live(self, timeout: float) -> None:
        try:
            await self._backend.start()
        except OSError as problem:
            reason = str(problem)
        else:
            late = self._loop.call_later(timeout, self._kill_if_late)
            reason = await self._backend.wait()
            if not self.ready and self._loop.time() >= late.when():
                reason = f"its ranks were not there after {timeout:g} s"
            late.cancel()
        for rank in list(self._watched):
            self._unwatch(rank)
        if not self.ready:  # later the ranks' memory has no name, or the launcher removes it
            await self._backend.sweep_spanned(MPI_SEGMENTS)
        self.ended = self.retired = True
        self._on_end(self, reason)

    def _kill_if_late(self) -> None:
        if not self.ready:
            self.kill()

    def _rank_ended(self, rank: int) -> None:
        self._unwatch(rank)
        self._pids.pop(rank, None)
        self._note_gone(rank)

    def _note_gone(self, rank: int) -> None:
        """Those that end in the first turn of the loop are the cause; the launcher ends the rest after them."""
        self.retired = True
        if not self._all_noted and self._stop is None:
            self.gone.add(rank)
            self._loop.call_soon(self._close_note)

    def _close_note(self) -> None:
        self._all_noted = True

    def _unwatch(self, rank: int) -> None:
        watch = self._watched.pop(rank)
        self._loop.remove_reader(watch)
        os.close(watch)
