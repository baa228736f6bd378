"""The pilot's half of the MPI runtime: which of its two ways a task goes."""

from collections.abc import Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.hosts.process import sweep_memory
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher, detect
from rhapsody_parsl.runtimes.mpi.launch.prefix import environment
from rhapsody_parsl.runtimes.mpi.world.functions import Functions
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.local import LocalWorkers
from rhapsody_parsl.wire.messages import Mode, Task

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
        self._launcher: Launcher | None = None
        self._launched = False
        self._workers = LocalWorkers(context, self.name, config.startup_timeout)
        self._functions = Functions(config, context)

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse functions on more ranks than the standing world will ever have."""
        ranks, most = spec.resources.num_ranks, self._config.world_ranks
        if spec.comm and spec.policy.isolation != "process" and most and ranks > most:
            return f"its standing world has {most} ranks (MPIRuntime(world_ranks=...)), and {ranks} are asked"
        return "" if spec.resources.is_mpi else "it takes tasks with ranks only"

    async def start(self) -> None:
        """Find the launcher, open the hubs; worlds and workers start with the tasks that need them.

        Raises:
            MissingPackage: There is no launcher.
            RuntimeUnavailable: The launcher the user names is none.
        """
        if self._launcher is None:
            self._launcher = await detect(self._config, self._context.python, self._context.node_launcher)
        self._workers.start()
        self._functions.start(self._launcher)

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Feed ranks, or a worker."""
        if run.spec.comm:
            self._functions.run(run, tasks)
            return
        self._launched = True
        mode: Mode = "process" if run.spec.policy.isolation == "process" else "call"
        self._workers.feed(run, tasks, mode, self._environment(run))
        for host in {placed.node.host for placed in run.placed[1:]} if run.spec.resources.memory else ():
            self._context.events.at_work(run, host, {})  # ranks of a launch note themselves

    def end(self, run: Run) -> None:
        """Free ranks, or the worker."""
        if run.spec.comm:
            self._functions.end(run)
        else:
            self._workers.pool.end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Pass on to whoever has them."""
        if run.spec.comm:
            self._functions.cancel(run, tasks, kill)
        else:
            self._workers.pool.cancel(run, tasks, kill)

    async def stop(self) -> None:
        """End worlds, then workers; sweep what ranks on other hosts left."""
        await self._functions.stop()
        await self._workers.stop()
        if self._launcher and (self._context.hosts or self._launched):  # those ranks are the launcher's, and no guard's
            await sweep_memory([None, *self._context.hosts.values()], self._context.logs / "mpi-sweep.log")

    def _environment(self, run: Run) -> dict[str, str]:
        if self._launcher is None:
            return {}
        return environment(self._launcher, run, self._context.folder, self._context.noting(run))
