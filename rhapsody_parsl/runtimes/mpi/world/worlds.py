"""Which MPI worlds stand, and which of them a run gets."""

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence

from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import RuntimeUnavailable
from rhapsody_parsl.hosts.mark import mark_of, take
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import Place, places_of
from rhapsody_parsl.runtimes.mpi.world.gang import Member, Slot, gpus_in, members_of, pick, slots_of, slots_on
from rhapsody_parsl.runtimes.mpi.world.job import Job
from rhapsody_parsl.runtimes.mpi.world.world import World
from rhapsody_parsl.runtimes.protocol import Context, Run

__all__ = ("Worlds",)

_GRACE = 0.2
_OF_A_LAUNCH, _OF_A_RANK = 3, 3
"""Processes and threads: guard, launcher and its daemon; MPICH with UCX, and our listener."""
_MOST_IDLE = 4
"""Idle worlds over several hosts that are kept for the next run on the same ones."""


class Worlds:
    """The worlds of a block.

    Runs share standing worlds, one for each set of hosts, started with the first run on it. Ranks with GPUs have a
    world of their own, kept for the next run on the same cores and GPUs: CUDA reads once which ones a process may use.
    A run with isolation `process` gets a world of its own for each task.

    Args:
        config: The user's.
        context: The block.
        launcher: Starts worlds.
        exchange: Speaks to their ranks.
        on_end: Called when a world has ended, with the task that each rank on this host began last, by the rank's name;
            what its ranks have said may still be heard then.

    Attributes:
        of_run: The world that each run is on, by run.
        of_peer: World and number of each rank, by its name on the exchange.
    """

    def __init__(
        self,
        config: MPIRuntime,
        context: Context,
        *,
        launcher: Launcher,
        exchange: Exchange,
        on_end: Callable[[World, Mapping[str, int]], None],
    ) -> None:
        self._config, self._context, self._on_end = config, context, on_end
        self._launcher, self._exchange = launcher, exchange
        self.of_run: dict[int, World] = {}
        self.of_peer: dict[str, tuple[World, int]] = {}
        self._slots = slots_of(context.nodes.values(), config.world_ranks)
        self._standing: dict[frozenset[str], World] = {}
        self._with_gpus: dict[tuple[Member, ...], World] = {}
        self._count = 0

    async def stop(self) -> None:
        """End all of them; returns when they are gone."""
        await asyncio.gather(*(world.stop() for world in {world for world, _ in self.of_peer.values()}))

    def assign(self, job: Job) -> World | None:
        """Give a run ranks of a world, which is started if it is not there.

        Args:
            job: A run that is on no world.

        Returns:
            The world it is on now; None while too few ranks are free.

        Raises:
            RuntimeUnavailable: The standing world never has enough ranks for it.
        """
        run, members = job.run, members_of(job.run)
        if job.alone:
            world = self._start_for(run, members, shlex.split(run.spec.resources.launcher_options))
        elif gpus_in(members):
            world = self._world_with_gpus(run, members)
        else:
            world = self._standing_world(run, members)
        if not world.assign(job):
            return None
        self.of_run[run.id] = world
        return world

    def leave(self, run: int) -> None:
        """Take a run off its world, if it is on one."""
        if world := self.of_run.pop(run, None):
            world.leave(run)

    # --- which one -----------------------------------------------------------------------------------------------

    def _standing_world(self, run: Run, members: Sequence[Member]) -> World:
        """Return the world over the run's hosts.

        A world ends with any of its hosts, so a run has one over its own hosts; in a block of one host all share one.
        """
        nodes = self._context.nodes
        hosts = frozenset(placed.node.host for placed in run.placed) if self._context.hosts else frozenset()
        slots = tuple(slot for slot in self._slots if not hosts or nodes[slot.node].host in hosts)
        if pick(members, slots) is None:
            reason = f"its standing world has {len(slots)} ranks, too few on a node of this task"
            remedy = "raise MPIRuntime(world_ranks=...), or use Policy(isolation='process')"
            raise RuntimeUnavailable("mpi", f"{reason}; {remedy}")
        world = self._standing.pop(hosts, None)
        if world is None or world.retired:
            self._retire_idle()
            world = self._start(slots, self._places(slots))
        self._standing[hosts] = world  # the latest used is the last
        return world

    def _retire_idle(self) -> None:
        """Retire those over several hosts that were not used for longest, but for a few."""
        usable = [world for hosts, world in self._standing.items() if len(hosts) > 1 and not world.retired]
        idle = [world for world in usable if not world.jobs]
        for world in idle[: max(0, len(idle) - _MOST_IDLE)]:
            world.retire()

    def _world_with_gpus(self, run: Run, members: tuple[Member, ...]) -> World:
        """Return the world of these cores and GPUs; idle ones that have some of the GPUs leave the memory there."""
        for other, old in self._with_gpus.items():
            if other != members and not old.jobs and gpus_in(other) & gpus_in(members):
                old.retire()
        world = self._with_gpus.get(members)
        if world is None or world.retired:
            world = self._with_gpus[members] = self._start_for(run, members)
        return world

    # --- starting one, and its end -------------------------------------------------------------------------------

    def _places(self, slots: Sequence[Slot]) -> list[Place]:
        """Return where the ranks of a standing world are: each may use its whole node until a run says which cores."""
        ranks: dict[str, list[tuple[int, ...]]] = {}
        for slot in slots:
            node = self._context.nodes[slot.node]
            ranks.setdefault(node.host, []).append(node.real(node.cores))
        return [Place(host, tuple(cores)) for host, cores in ranks.items()]

    def _start_for(self, run: Run, members: Sequence[Member], options: Sequence[str] = ()) -> World:
        """Start a world that is no larger than a run."""
        cores = [core for placed in run.placed for core in placed.real_cores]
        return self._start(slots_on(members), places_of(run.placed), cores, options)

    def _start(
        self, slots: Sequence[Slot], places: Sequence[Place], cores: Sequence[int] = (), options: Sequence[str] = ()
    ) -> World:
        self._count += 1
        name, python = f"mpi-world-{self._count}", self._context.python
        hosts = {place.host for place in places}
        local = hosts <= {self._context.own_host}
        command = [
            *self._launcher.line(places, local, options),
            *(python, "-m", "rhapsody_parsl.runtimes.mpi.world.rank", self._exchange.endpoint, name),
        ]
        env = self._launcher.environment(os.environ, self._context.folder)
        log = self._context.logs / f"{name}.log"
        processes = _OF_A_LAUNCH + _OF_A_RANK * len(slots) if local else _OF_A_LAUNCH
        spans = [host for name in hosts if (host := self._context.host(name))]
        backend = Backend(
            command,
            log,
            env=env,
            cores=cores if local else (),
            grace=_GRACE,
            spans=spans,
            processes=processes,
        )
        world = World(name, slots, backend, launcher=self._launcher.kind, on_end=self._ended)
        self.of_peer |= {peer: (world, rank) for rank, peer in enumerate(world.peers)}
        world.start(self._config.startup_timeout)
        return world

    def _ended(self, world: World) -> None:
        self._standing = {hosts: other for hosts, other in self._standing.items() if other is not world}
        self._with_gpus = {members: other for members, other in self._with_gpus.items() if other is not world}
        self._on_end(world, take(mark_of(str(self._context.folder), f"{world.name}.*")))
        for peer in world.peers:
            del self.of_peer[peer]
            self._exchange.forget(peer)
