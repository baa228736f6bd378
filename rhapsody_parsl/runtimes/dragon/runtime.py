"""The pilot's half of the Dragon runtime: partitions, and the workers in them."""

import asyncio
from collections.abc import Mapping, Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import DragonRuntime
from rhapsody_parsl.errors import RhapsodyError, WorkerLost
from rhapsody_parsl.hosts.process import log_tail
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.dragon.partition import WORKERS, Partition, find_dragon
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.pool import WorkerPool, mode_of, worker_lost
from rhapsody_parsl.wire.messages import Exited, FromBackend, Ready, Spawn, Task

__all__ = ("Dragon", "groups")


class Dragon:
    """Python and bash tasks in processes that Dragon manages.

    Args:
        config: The user's.
        context: The block.
    """

    name = "dragon"
    eager = False

    def __init__(self, config: DragonRuntime, context: Context) -> None:
        self._config, self._context = config, context
        self._exchange = Exchange(context, self.name, self._receive)
        self._heads = Exchange(context, f"{self.name}-heads", self._hear_head, after=self._exchange)
        self.pool = WorkerPool(
            context,
            self._exchange,
            spawn=self._spawn,
            abandon=self._abandon,
            prefix=WORKERS,
            startup_timeout=config.startup_timeout,
        )
        partitions = [
            Partition(
                f"dragon-{number}",
                group,
                config=config,
                context=context,
                exchange=self._heads,
                workers=self._exchange,
                ended=self._ended,
            )
            for number, group in enumerate(groups(context, config.nodes_per_partition))
        ]
        self._partitions = {partition.name: partition for partition in partitions}
        self._of_host = {host: partition for partition in partitions for host in partition.hosts}

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse gangs: Dragon's workers have no ranks here."""
        return "it has no ranks; use runtime 'mpi'" if spec.resources.is_mpi else ""

    async def start(self) -> None:
        """Start every partition whose hosts are there; others, and those that are lost, with the next task for them.

        Raises:
            MissingPackage: Dragon is not installed in the block's environment.
            BackendFailed: No Dragon runtime came up.
        """
        find_dragon(self._config, self._context.python)
        self._exchange.start()
        self._heads.start()
        partitions = self._partitions.values()
        starts = [each.start() for each in [each for each in partitions if each.hosts_are_up] or partitions]
        failures = [end for end in await asyncio.gather(*starts, return_exceptions=True) if end is not None]
        if len(failures) == len(starts):
            raise failures[0]

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Feed the run's worker."""
        self.pool.feed(run, tasks, mode_of(run.spec), host=run.placed[0].node.host, env={})

    def end(self, run: Run) -> None:
        """Free the run's worker."""
        self.pool.end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Pass on to the run's worker."""
        self.pool.cancel(run, tasks, kill)

    def worker_of(self, run: int) -> str:
        """Return the name of the worker that has a run, or ""."""
        return self.pool.worker_of(run)

    async def stop(self) -> None:
        """End the workers, then every Dragon runtime."""
        self.pool.quit()
        await asyncio.gather(*(partition.stop() for partition in self._partitions.values()), return_exceptions=True)
        self.pool.all_exited(WorkerLost("dragon", "the block is closing"))
        self._heads.stop()
        self._exchange.stop()

    def _spawn(self, worker: str, host: str) -> None:
        self._of_host[host].spawn(Spawn(worker, host, (), {}))

    def _abandon(self, worker: str) -> str | None:
        """Have a worker killed; return the end of its log, None while its runtime is not up."""
        if not self._of_host[self.pool.host_of(worker)].kill(worker):
            return None
        return log_tail(self._context.logs / f"{worker}.log")

    def _receive(self, peer: str, message: FromBackend) -> None:
        self.pool.receive(peer, message)

    def _hear_head(self, peer: str, message: FromBackend) -> None:
        partition = self._partitions.get(peer)
        match message:
            case Ready() if partition:
                partition.head_is_up()
                self._context.events.state(self.name, "ready")  # again, if it was lost
            case Exited(worker=worker, reason=reason, begun=begun):
                tail = log_tail(self._context.logs / f"{worker}.log")
                error = worker_lost(worker, self.pool.host_of(worker), reason, tail)
                self.pool.worker_exited(worker, error, begun)
            case _:  # as that it has failed: its end is an event of its own, with its log
                pass

    def _ended(self, partition: Partition, error: RhapsodyError, begun: Mapping[str, int]) -> None:
        self._exchange.drain()
        for worker in self.pool.on_hosts(partition.hosts):
            self.pool.worker_exited(worker, error, begun.get(worker))
        self._context.events.state(self.name, "lost", str(error))


def groups(context: Context, size: int) -> list[tuple[str, ...]]:
    """Return the hosts of each partition: those that have not come yet are in none with those that are there.

    Args:
        context: The block.
        size: Hosts of a partition; 0 for all.
    """
    hosts = dict.fromkeys(node.host for node in context.nodes.values())
    late = [name for name in hosts if (host := context.host(name)) and not host.up]
    there = [name for name in hosts if name not in late]
    size = size or len(there)
    return [tuple(some[start : start + size]) for some in (there, late) for start in range(0, len(some), size)]
