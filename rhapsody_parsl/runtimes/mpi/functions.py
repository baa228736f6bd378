"""Functions on ranks, the pilot's half: worlds, the runs on them, and what becomes of both."""

import asyncio
import importlib.util
import os
import shlex
from collections.abc import Sequence

from rhapsody_parsl.errors import (
    BackendFailed,
    MissingPackage,
    RhapsodyError,
    RuntimeLost,
    RuntimeUnavailable,
    WorkerLost,
)
from rhapsody_parsl.runtimes.exchange import Exchange
from rhapsody_parsl.runtimes.mpi.gang import Member, Slot, gpus_in, members_of, pick, slots_of, slots_on
from rhapsody_parsl.runtimes.mpi.job import Job
from rhapsody_parsl.runtimes.mpi.launcher import Launcher, Place, places_of
from rhapsody_parsl.runtimes.mpi.world import World
from rhapsody_parsl.runtimes.pool import gpu_environment
from rhapsody_parsl.runtimes.process import Backend
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.spec.config import MPIRuntime
from rhapsody_parsl.wire.messages import RESULT, Done, FromBackend, Ready, Result, Revoke, Revoked, Task, Work

__all__ = ("Functions",)

_HUNG_AFTER = 0.5
_ANSWER_WITHIN = 0.25
_MOST_FAILURES = 300  # MPICH has 2,048 communicators; each failed task keeps one or two
_GRACE = 0.2
_MOST_IDLE = 4
"""Idle worlds over several hosts that are kept for the next run on the same ones."""


class Functions:
    """Runs of functions with `comm`.

    Runs share standing worlds, one for each set of hosts, started with the first run on it. Ranks with GPUs have a
    world of their own, kept for the next run on the same cores and GPUs: CUDA reads once which ones a process may use.
    A run with isolation `process` gets a world of its own for each task. When a rank is lost or hangs its world is
    retired: the run keeps its lease until its ranks are ended, or frozen, and the next run starts a new world.

    Args:
        config: The user's.
        context: The block.
    """

    def __init__(self, config: MPIRuntime, context: Context) -> None:
        self._config, self._context, self._events = config, context, context.events
        self.slots = slots_of(context.nodes.values(), config.world_ranks)
        self._launcher: Launcher | None = None
        self._hub: Exchange | None = None
        self._standing: dict[frozenset[str], World] = {}
        self._with_gpus: dict[tuple[Member, ...], World] = {}
        self._count = 0
        self._peers: dict[str, tuple[World, int]] = {}
        self._worlds: dict[str, World] = {}
        self._jobs: dict[int, Job] = {}
        self._home: dict[int, World] = {}
        self._causes: dict[int, RhapsodyError] = {}
        self._held: dict[int, list[Result]] = {}
        self._stopping = False

    def start(self, launcher: Launcher) -> None:
        """Open the hub; idempotent. Worlds start with the runs that need them."""
        if self._hub is not None:
            return
        self._launcher = launcher
        self._hub = Exchange(self._context, "mpi-ranks", self._receive)

    async def stop(self) -> None:
        """End all worlds; idempotent."""
        self._stopping = True
        await asyncio.gather(*(world.stop() for world in list(self._worlds.values())))
        if self._hub:
            self._hub.close()

    # --- what the pilot asks -------------------------------------------------------------------------------------

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Give tasks to a run."""
        if importlib.util.find_spec("mpi4py") is None:
            self._soon_lost(run.id, MissingPackage("mpi4py", "mpi", self._context.python))
            return
        job = self._jobs.get(run.id)
        if job is None:
            job = self._jobs[run.id] = Job(run)
        job.queue.extend(tasks)
        self._advance(job)

    def end(self, run: Run) -> None:
        """The run is over."""
        if self._jobs.pop(run.id, None) is not None:
            self._leave(run.id)
            self._advance_waiting()

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Take back what has not begun; with `kill`, end the ranks of what has."""
        job = self._jobs.get(run.id)
        if job is None:
            return
        loop = asyncio.get_running_loop()
        if taken := job.take_back(tasks):
            loop.call_soon(self._events.given_back, run.id, taken)
        sent = [task for task in tasks if task in job.open]
        if sent and not job.ending:
            self._revoke(job, sent)
            if kill:
                loop.call_later(_ANSWER_WITHIN, self._end_if_running, job, sent)

    def _revoke(self, job: Job, tasks: Sequence[int]) -> None:
        """Ask a run's ranks for tasks back, and for the results they have not sent yet."""
        if self._hub:
            for rank in job.ranks:
                self._hub.send(_peer(self._home[job.run.id], rank), Revoke(job.run.id, list(tasks)))

    # --- what the ranks tell -------------------------------------------------------------------------------------

    def _receive(self, peer: str, message: FromBackend) -> None:
        known = self._peers.get(peer)
        if known is None:
            return
        world, rank = known
        match message:
            case Done(run=run, results=results):
                self._done(world, rank, run, results)
            case Ready(facts={"size": int(size)}) if size != world.size:
                self._refuse_singletons(world, size)
            case Ready():
                world.arrived(rank, message)
                if world.ready:
                    for job in list(world.jobs.values()):
                        self._advance(job)
            case Revoked(run=run, tasks=tasks):
                self._revoked(rank, run, tasks)
            case _:
                return

    def _refuse_singletons(self, world: World, size: int) -> None:
        """The launcher started the ranks, and MPI did not make one world of them."""
        kind = self._launcher.kind if self._launcher else "the launcher"
        reason = (
            f"{kind} was to start {world.size} ranks, and they came up as worlds of {size}: it does not speak this MPI "
            "library's process management (PMI). Set MPIRuntime(launcher=...) to the MPI's own launcher, or its options"
            ": under srun MPICH needs --mpi=pmi2, Open MPI --mpi=pmix"
        )
        for run in world.jobs:
            self._causes.setdefault(run, RuntimeUnavailable("mpi", reason))
        world.kill()

    def _revoked(self, rank: int, run: int, tasks: Sequence[int]) -> None:
        job = self._jobs.get(run)
        if job is None or job.ending or rank != job.ranks[0]:
            return  # the first rank decides for its group
        if back := job.revoked(tasks):
            self._events.given_back(run, back)

    def _done(self, world: World, rank: int, run: int, results: Sequence[Result]) -> None:
        job = self._jobs.get(run)
        if job is None or job.ending or self._home.get(run) is not world:
            return
        was_stuck = job.stuck
        ended = job.report(rank, results)
        world.failures += sum(result.kind != RESULT for result in ended)
        if world.failures > _MOST_FAILURES:
            self._retire(world)
        if job.stuck and not was_stuck:
            self._revoke(job, ())
            asyncio.get_running_loop().call_later(_HUNG_AFTER, self._end_if_hung, job, job.stuck)
        if ended and job.alone:
            self._held[run] = ended
            job.ending = True
            world.kill()
        elif ended:
            self._events.done(run, ended)
            self._advance(job)

    def _end_if_hung(self, job: Job, task: int) -> None:
        """A rank failed a task half a second ago; the others wait for it inside MPI, which nothing can undo."""
        if self._jobs.get(job.run.id) is not job or job.ending or not job.stuck:
            return
        if job.stuck == task:
            self._end_ranks(job)
        else:
            asyncio.get_running_loop().call_later(_HUNG_AFTER, self._end_if_hung, job, job.stuck)

    def _end_if_running(self, job: Job, tasks: Sequence[int]) -> None:
        """The ranks were asked to give tasks back, and kept one."""
        if self._jobs.get(job.run.id) is job and not job.ending and set(tasks) & set(job.open):
            where = f"the ranks of '{job.run.spec.name}'"
            self._causes[job.run.id] = WorkerLost(where, "they were ended with another task")
            self._end_ranks(job)

    # --- runs on worlds ------------------------------------------------------------------------------------------

    def _advance(self, job: Job) -> None:
        """Bring a run a step on: onto a world, off a retired one, its tasks to the ranks."""
        run = job.run.id
        if job.ending or not job.queue or self._stopping or self._jobs.get(run) is not job:
            return
        if (world := self._home.get(run)) and world.retired and not job.open and world.ready:
            self._leave(run)
        world = self._home.get(run) or self._settle(job)
        if world and world.ready and not world.retired and not (job.alone and job.open):
            self._send(world, job)

    def _settle(self, job: Job) -> World | None:
        """Give a run its ranks; None while there are too few free ones."""
        members = members_of(job.run)
        if job.alone:
            real = [core for placed in job.run.placed for core in placed.real_cores]
            options = shlex.split(job.run.spec.resources.launcher_options)
            world = self._start_world(slots_on(members), places_of(job.run.placed), options, real)
        elif gpus_in(members):
            world = self._world_with_gpus(job.run, members)
        else:
            hosts = self._reach_of(job.run)
            slots = self._slots_on(hosts)
            if pick(members, slots) is None:
                reason = f"its standing world has {len(slots)} ranks, too few on a node of this task"
                remedy = "raise MPIRuntime(world_ranks=...), or use Policy(isolation='process')"
                self._soon_lost(job.run.id, RuntimeUnavailable("mpi", f"{reason}; {remedy}"))
                return None
            world = self._standing_world(hosts)
            picked = pick(members, slots, world.busy)
            if picked is None:
                return None
            members = picked
        job.settle(members)
        world.jobs[job.run.id] = job
        self._home[job.run.id] = world
        return world

    def _send(self, world: World, job: Job) -> None:
        if self._hub is None:
            return
        tasks, run, ranks = job.send(), job.run, job.ranks
        common = {**self._context.environment, "OMP_NUM_THREADS": str(run.spec.resources.cores_per_rank)}
        every = run.spec.policy.returns == "all"
        for member in job.members:
            env = {**common, **gpu_environment(Run(run.id, run.spec, (member.placed,)))}
            work = Work(run.id, "rank", member.placed.real_cores, env, tasks, ranks, every)
            self._hub.send(_peer(world, member.rank), work)

    def _end_ranks(self, job: Job) -> None:
        """End a run's ranks: with their world, or frozen in it while others are at work there."""
        job.ending = True
        world = self._home[job.run.id]
        self._retire(world)
        others = any(other is not job for other in world.jobs.values())
        if not world.ended and others and world.freeze(job.ranks):
            self._conclude(job, self._causes.pop(job.run.id, None), behind=True)

    def _conclude(self, job: Job, cause: RhapsodyError | None, behind: bool = False) -> None:
        """Nothing of a run is at work any more: report what it leaves; what had not begun goes on in another world.

        Args:
            job: The run.
            cause: For the tasks that were lost with the ranks.
            behind: Whether only the first of the tasks sent had begun.
        """
        run = job.run.id
        self._leave(run)
        if held := self._held.pop(run, None):
            job.ending = False
            self._events.done(run, held)
        elif failures := job.leave_world():
            self._events.done(run, failures)
        elif job.open:
            del self._jobs[run]
            waiting = job.tasks[1:] if behind else [task.id for task in job.queue]
            self._events.lost(run, cause or RuntimeLost("mpi", "its ranks ended"), waiting)
            return
        self._advance(job)

    def _leave(self, run: int) -> None:
        """Take a run off its world; a retired world that holds none at work ends."""
        world = self._home.pop(run, None)
        if world is not None:
            del world.jobs[run]
            self._end_idle(world)

    # --- worlds --------------------------------------------------------------------------------------------------

    def _reach_of(self, run: Run) -> frozenset[str]:
        """Return the hosts of the standing world that a run gets.

        A world ends with any of its hosts, so a run has one over its own hosts; in a block of one host all share one.
        """
        return frozenset(placed.node.host for placed in run.placed) if self._context.hosts else frozenset()

    def _slots_on(self, hosts: frozenset[str]) -> tuple[Slot, ...]:
        nodes = self._context.nodes
        return tuple(slot for slot in self.slots if not hosts or nodes[slot.node].host in hosts)

    def _standing_world(self, hosts: frozenset[str]) -> World:
        world = self._standing.pop(hosts, None)
        if world is None or world.retired:
            idle = [world for hosts, world in self._standing.items() if len(hosts) > 1 and not world.jobs]
            for old in idle[: max(0, len(idle) - _MOST_IDLE)]:
                self._retire(old)
            nodes = self._context.nodes
            slots = self._slots_on(hosts)
            whole: dict[str, list[tuple[int, ...]]] = {}
            for slot in slots:
                node = nodes[slot.node]
                whole.setdefault(node.host, []).append(node.real(node.cores))
            places = [Place(host, tuple(ranks)) for host, ranks in whole.items()]
            world = self._start_world(slots, places, (), ())
        self._standing[hosts] = world  # the latest used is the last
        return world

    def _world_with_gpus(self, run: Run, members: tuple[Member, ...]) -> World:
        """Return the world of these cores and GPUs; idle ones that have some of the GPUs leave the memory there."""
        for other, old in list(self._with_gpus.items()):
            if other != members and not old.jobs and gpus_in(other) & gpus_in(members):
                self._retire(old)
        world = self._with_gpus.get(members)
        if world is None or world.retired:
            real = [core for placed in run.placed for core in placed.real_cores]
            world = self._start_world(slots_on(members), places_of(run.placed), (), real)
            self._with_gpus[members] = world
        return world

    def _start_world(
        self, slots: Sequence[Slot], places: Sequence[Place], options: Sequence[str], cores: Sequence[int]
    ) -> World:
        if self._launcher is None or self._hub is None:
            raise RuntimeUnavailable("mpi", "it was not started")
        self._count += 1
        name, python = f"mpi-world-{self._count}", self._context.python
        hosts = {place.host for place in places}
        local = hosts <= {self._context.own_host}
        endpoint, *keys = self._hub.words(hosts)
        command = [
            *self._launcher.line(places, local, options),
            *(python, "-m", "rhapsody_parsl.runtimes.mpi.rank", endpoint, name, *keys),
        ]
        env = self._launcher.environment(python, os.environ.get("LD_LIBRARY_PATH", ""))
        log = self._context.logs / f"{name}.log"
        spans = [host for name in hosts if (host := self._context.host(name))]
        backend = Backend(command, log, env=env, cores=cores if local else (), grace=_GRACE, spans=spans)
        world = World(name, slots, backend, self._world_ended)
        self._worlds[name] = world
        for rank in range(world.size):
            self._peers[_peer(world, rank)] = (world, rank)
        world.start(self._config.startup_timeout)
        return world

    def _retire(self, world: World) -> None:
        world.retired = True
        self._forget(world)
        self._end_idle(world)

    def _forget(self, world: World) -> None:
        """Let no further run have it."""
        self._standing = {hosts: other for hosts, other in self._standing.items() if other is not world}
        self._with_gpus = {members: other for members, other in self._with_gpus.items() if other is not world}

    def _end_idle(self, world: World) -> None:
        if world.retired and not world.ended and all(job.ending for job in world.jobs.values()):
            world.kill()

    def _world_ended(self, world: World, reason: str) -> None:
        if self._hub and not self._stopping:
            self._hub.drain()
        del self._worlds[world.name]
        self._peers = {peer: known for peer, known in self._peers.items() if known[0] is not world}
        self._forget(world)
        if self._stopping:
            return
        for job in list(world.jobs.values()):
            run, planned = job.run.id, job.ending
            if world.ready:
                cause = self._causes.pop(run, None) or _blame(world, job, reason)
                self._conclude(job, cause, behind=planned)
            else:
                self._leave(run)
                del self._jobs[run]
                failed = BackendFailed("An MPI world", reason, world.last_words())
                self._events.lost(run, self._causes.pop(run, failed))
        self._advance_waiting()

    def _advance_waiting(self) -> None:
        for job in list(self._jobs.values()):
            if job.run.id not in self._home:
                self._advance(job)

    def _soon_lost(self, run: int, error: RhapsodyError) -> None:
        self._jobs.pop(run, None)
        asyncio.get_running_loop().call_soon(self._events.lost, run, error)


def _peer(world: World, rank: int) -> str:
    return f"{world.name}.{rank}"


def _blame(world: World, job: Job, reason: str) -> RhapsodyError:
    """Return why a run was lost with a world that ended by itself."""
    at_work = [other for other in world.jobs.values() if other.open]
    own = [position for position, rank in enumerate(job.ranks) if rank in world.gone]
    log = world.last_words()
    if not own and len(at_work) > 1 and world.gone:
        return RuntimeLost("mpi", "a rank of another task ended, and MPI ends the whole world with it", log)
    which = f"rank {own[0]} of {len(job.members)}" if len(own) == 1 else f"one of {len(job.members)} ranks"
    return WorkerLost(f"{which} of '{job.run.spec.name}'", f"it ended, and the MPI world with it: {reason}", log)
