"""One MPI world as the pilot sees it: start it, lend its ranks, learn who is there and who ends, end it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence

from rhapsody_parsl.errors import BackendFailed, RhapsodyError, RuntimeLost, RuntimeUnavailable, WorkerLost
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.runtimes.mpi.world.gang import Slot, pick
from rhapsody_parsl.runtimes.mpi.world.job import Job
from rhapsody_parsl.wire.messages import Ready, WorldFacts

__all__ = ("World",)


class World:
    """The ranks of one launch.

    MPI ends a world as a whole: when one rank dies the others follow. A world that must not be used any more is
    retired; it ends when the runs that are on it have.

    Args:
        name: Unique in the block.
        slots: Where its ranks live, in order.
        backend: The launch.
        launcher: Name of what launches, for people.
        on_end: Called once, when it has ended.

    Attributes:
        peers: Names of its ranks on the exchange, in order.
        jobs: The runs on its ranks, by run.
        ready: Whether all ranks are there.
        late: Whether it was ended because they were not in time.
        retired: Whether it takes no further runs.
        ended: Whether all of it is gone.
        failures: Tasks that failed on it; each keeps an MPI communicator from being used again.
    """

    def __init__(
        self, name: str, slots: Sequence[Slot], backend: Backend, *, launcher: str, on_end: Callable[["World"], None]
    ) -> None:
        self.name, self._slots, self._backend = name, tuple(slots), backend
        self._launcher, self._on_end = launcher, on_end
        self.peers = tuple(f"{name}.{rank}" for rank in range(len(slots)))
        self.jobs: dict[int, Job] = {}
        self.ready = self.late = self.retired = self.ended = False
        self.failures = 0
        self._gone: set[int] = set()  # seen to end before the others
        self._frozen: set[int] = set()
        self._pids: dict[int, int] = {}
        self._watched: dict[int, int] = {}
        self._arrived: dict[int, int] = {}  # process ids, on whichever host
        self._loop = asyncio.get_running_loop()
        self._life: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._all_noted = False
        self._reason = ""
        self._refusal: RhapsodyError | None = None

    def start(self, timeout: float) -> None:
        """Start it; `ready` is set once all ranks have reported, or it ends."""
        self._life = spawn(self._live(timeout), f"watch {self.name}")

    def arrived(self, rank: int, message: Ready) -> None:
        """A rank is there; one that came up in a world of another size ends them all."""
        size = message.facts.size if isinstance(message.facts, WorldFacts) else 0
        if size != len(self.peers):
            self._refuse_singletons(size)
            return
        self._arrived[rank] = message.pid
        self.ready = len(self._arrived) == size
        if message.host != socket.gethostname():
            return
        try:
            watch = os.pidfd_open(message.pid)
        except ProcessLookupError:
            self.note_gone(rank)
            return
        except OSError:  # no descriptor left: that it ended its launcher tells, though not that it was the first
            return
        self._pids[rank], self._watched[rank] = message.pid, watch
        self._loop.add_reader(watch, self._rank_ended, rank)

    def note_gone(self, rank: int) -> None:
        """A rank has ended. Those of the loop's first turn are the cause; the launcher ends the others after them."""
        self.retired = True
        if not self._all_noted and self._stop is None:
            self._gone.add(rank)
            self._loop.call_soon(self._close_note)

    def lost_rank_of(self, job: Job) -> bool:
        """Whether a rank of a run ended before all others; what its other ranks raised then, they raised for that."""
        return not self._gone.isdisjoint(job.ranks)

    def processes_of(self, job: Job) -> dict[str, dict[str, int]]:
        """Return the process ids of a run's ranks, which are there, by host and by their names on the exchange."""
        found: dict[str, dict[str, int]] = {}
        for member in job.members:
            found.setdefault(member.placed.node.host, {})[self.peers[member.rank]] = self._arrived[member.rank]
        return found

    def assign(self, job: Job) -> bool:
        """Give a run some of the ranks; False while too few are free."""
        busy = self._frozen.union(*(other.ranks for other in self.jobs.values()))
        members = pick(job.members, self._slots, busy)
        if members is None:
            return False
        job.assign(members)
        self.jobs[job.run.id] = job
        return True

    def leave(self, run: int) -> None:
        """A run's ranks are free."""
        del self.jobs[run]
        self._end_if_idle()

    def retire(self) -> None:
        """Take no further runs; end when none is at work."""
        self.retired = True
        self._end_if_idle()

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
            self._stop = spawn(self._backend.stop(), f"stop {self.name}")

    async def stop(self) -> None:
        """End it; returns when all of it is gone."""
        self.kill()
        if self._stop:
            await self._stop
        if self._life:
            await self._life

    def blame(self, job: Job) -> RhapsodyError:
        """Return why a run was lost with this world, which has ended by itself."""
        log = self._backend.log_tail()
        if not self.ready:
            return self._refusal or BackendFailed("An MPI world", self._reason, log)
        at_work = [other for other in self.jobs.values() if other.open]
        own = [position for position, rank in enumerate(job.ranks) if rank in self._gone]
        if not own and len(at_work) > 1 and self._gone:
            return RuntimeLost("mpi", "a rank of another task ended, and MPI ends the whole world with it", log)
        which = f"rank {own[0]} of {len(job.members)}" if len(own) == 1 else f"one of {len(job.members)} ranks"
        reason = f"it ended, and the MPI world with it: {self._reason}"
        return WorkerLost(f"{which} of '{job.run.spec.name}'", reason, log)

    def _refuse_singletons(self, size: int) -> None:
        """The launcher started the ranks, and MPI did not make one world of them."""
        reason = (
            f"{self._launcher} was to start {len(self.peers)} ranks, and they came up as worlds of {size}: it does not "
            "speak this MPI library's process management (PMI). Set MPIRuntime(launcher=...) to the MPI's own launcher,"
            " or its options: under srun MPICH needs --mpi=pmi2, Open MPI --mpi=pmix"
        )
        self._refusal = RuntimeUnavailable("mpi", reason)
        self.kill()

    def _end_if_idle(self) -> None:
        if self.retired and not self.ended and all(job.ending for job in self.jobs.values()):
            self.kill()

    async def _live(self, timeout: float) -> None:
        await self._backend.start()
        if self._stop:  # before there was anything to end
            await self._backend.stop()
        late = self._loop.call_later(timeout, self._kill_if_late)
        self._reason = await self._backend.wait()
        if not self.ready and self._loop.time() >= late.when():
            self.late, self._reason = True, f"its ranks were not there within startup_timeout={timeout:g} s"
        late.cancel()
        for rank in list(self._watched):
            self._unwatch(rank)
        if not self.ready:  # later the ranks' memory has no name, or the launcher removes it
            await self._backend.sweep_spanned()
        self.ended = self.retired = True
        self._on_end(self)

    def _kill_if_late(self) -> None:
        if not self.ready:
            self.kill()

    def _rank_ended(self, rank: int) -> None:
        self._unwatch(rank)
        self._pids.pop(rank, None)
        self.note_gone(rank)

    def _close_note(self) -> None:
        self._all_noted = True

    def _unwatch(self, rank: int) -> None:
        watch = self._watched.pop(rank)
        self._loop.remove_reader(watch)
        os.close(watch)
