"""The pilot's half of the MPI runtime: which of its two ways a task goes."""

from collections.abc import Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.runtimes.mpi.launch.executables import Executables
from rhapsody_parsl.runtimes.mpi.launch.launcher import detect
from rhapsody_parsl.runtimes.mpi.world.functions import Functions
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.wire.messages import Task

__all__ = ("MPI",)


class MPI:
    """Gangs of ranks.

    An app without a `comm` parameter runs once, on the first node of its lease, with the launch lines for the lease in
    its environment. A function with one runs on every rank.

    Args:
        config: The user's.
        context: The block.
    """

    name = "mpi"
    eager = False

    def __init__(self, config: MPIRuntime, context: Context) -> None:
        self._config, self._context = config, context
        self._ways: dict[bool, Functions | Executables] = {}  # by whether a task has `comm`; none before the start

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse functions on more ranks than the standing world will ever have."""
        ranks, most = spec.resources.num_ranks, self._config.world_ranks
        if spec.comm and spec.policy.isolation != "process" and most and ranks > most:
            return f"its standing world has {most} ranks (MPIRuntime(world_ranks=...)), and {ranks} are asked"
        return "" if spec.resources.is_mpi else "it takes tasks with ranks only"

    async def start(self) -> None:
        """Find the launcher, open the exchanges; worlds and workers start with the tasks that need them.

        Raises:
            MissingPackage: There is no launcher.
            RuntimeUnavailable: The launcher the user names is none.
        """
        if not self._ways:
            launcher = await detect(self._config, self._context.python, self._context.node_launcher)
            self._ways[True] = Functions(self._config, self._context, launcher)
            self._ways[False] = Executables(self._config, self._context, launcher)
        for way in self._ways.values():
            way.start()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Feed ranks, or a worker."""
        self._ways[run.spec.comm].run(run, tasks)

    def end(self, run: Run) -> None:
        """Free ranks, or the worker."""
        self._ways[run.spec.comm].end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Pass on to whoever has them."""
        self._ways[run.spec.comm].cancel(run, tasks, kill)

    def worker_of(self, run: int) -> str:
        """Return the name of the worker or world that has a run, or ""."""
        return next(filter(None, (way.worker_of(run) for way in self._ways.values())), "")

    async def stop(self) -> None:
        """End worlds, then workers."""
        for way in self._ways.values():
            await way.stop()
