"""Apps that start ranks themselves: they run once, in a plain worker, with the launch lines for their lease."""

from collections.abc import Sequence

from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import RuntimeUnavailable
from rhapsody_parsl.hosts.process import sweep_memory
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.mpi.launch.groups import TELLS_NO_RANK
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.prefix import environment
from rhapsody_parsl.runtimes.mpi.rendezvous import meeting_place
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.local import LocalWorkers
from rhapsody_parsl.runtimes.workers.pool import mode_of
from rhapsody_parsl.wire.messages import Task

__all__ = ("Executables",)


class Executables:
    """Runs of apps without `comm`: on the first node of their lease, with the launch lines in their environment.

    Args:
        config: The user's.
        context: The block.
        launcher: The block's.
    """

    def __init__(self, config: MPIRuntime, context: Context, launcher: Launcher) -> None:
        self._context, self._launcher = context, launcher
        self._workers = LocalWorkers(context, "mpi", config.startup_timeout)
        self._deferred = Deferred(context.events)
        self._launched = False

    def start(self) -> None:
        """Open the workers' exchange; idempotent. Workers start with the runs that need them."""
        self._workers.start()

    async def stop(self) -> None:
        """End the workers, and sweep what ranks left: they are the launcher's, and no guard's. Idempotent."""
        await self._workers.stop()
        if self._context.hosts or self._launched:
            await sweep_memory([None, *self._context.hosts.values()], self._context.logs / "mpi-sweep.log")

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Give tasks to a run's worker."""
        if run.spec.resources.groups and self._launcher.kind in TELLS_NO_RANK:
            reason = f"launcher '{self._launcher.kind}' tells no rank its number, and groups need it"
            self._deferred.lost(run.id, RuntimeUnavailable("mpi", reason))
            return
        self._launched = True
        lines = environment(self._launcher, run, self._context.folder, self._context.noting(run))
        self._workers.feed(run, tasks, mode_of(run.spec), {**lines, **meeting_place(run)})
        for host in {placed.node.host for placed in run.placed[1:]} if run.spec.resources.memory else ():
            self._context.events.at_work(run, host, {})  # ranks of a launch note themselves

    def worker_of(self, run: int) -> str:
        """Return the name of the worker that has a run, or ""."""
        return self._workers.pool.worker_of(run)

    def end(self, run: Run) -> None:
        """Free the run's worker."""
        self._workers.pool.end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Pass on to the run's worker."""
        self._workers.pool.cancel(run, tasks, kill)
