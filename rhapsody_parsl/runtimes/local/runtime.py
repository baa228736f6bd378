"""The pilot's half of the local runtime; there is no other half but the workers."""

from collections.abc import Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import LocalRuntime
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.local import LocalWorkers
from rhapsody_parsl.runtimes.workers.pool import mode_of
from rhapsody_parsl.wire.messages import Task

__all__ = ("Local",)


class Local:
    """Python and bash tasks in plain processes.

    Args:
        config: The user's.
        context: The block.
    """

    name = "local"
    eager = False

    def __init__(self, config: LocalRuntime, context: Context) -> None:
        self._workers = LocalWorkers(context, self.name, config.startup_timeout)

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse gangs: plain processes have no ranks."""
        return "it has no ranks" if spec.resources.is_mpi else ""

    async def start(self) -> None:
        """Open the workers' exchange."""
        self._workers.start()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Feed a worker."""
        self._workers.feed(run, tasks, mode_of(run.spec), {})

    def end(self, run: Run) -> None:
        """Free the worker."""
        self._workers.pool.end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Pass on to the worker."""
        self._workers.pool.cancel(run, tasks, kill)

    def worker_of(self, run: int) -> str:
        """Return the name of the worker that has a run, or ""."""
        return self._workers.pool.worker_of(run)

    async def stop(self) -> None:
        """End the workers."""
        await self._workers.stop()
