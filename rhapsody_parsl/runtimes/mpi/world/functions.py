"""Functions on ranks, the pilot's half: runs, and what becomes of their tasks."""

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial

from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import (
    BackendFailed,
    MissingPackage,
    RhapsodyError,
    RuntimeLost,
    RuntimeUnavailable,
    WorkerLost,
)
from rhapsody_parsl.hosts.mark import NONE
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.in_block.gpus import shown_gpus
from rhapsody_parsl.in_block.setting import setting_of, variables_of
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.prefix import environment
from rhapsody_parsl.runtimes.mpi.rendezvous import meeting_place
from rhapsody_parsl.runtimes.mpi.world.job import Job
from rhapsody_parsl.runtimes.mpi.world.world import World
from rhapsody_parsl.runtimes.mpi.world.worlds import Worlds
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.wire.messages import RESULT, Done, Failed, FromBackend, Ready, Recall, Result, Returned, Task, Work
from rhapsody_parsl.wire.piece_messages import Pieces

__all__ = ("Functions",)

_HUNG_AFTER = 0.5
_ANSWER_WITHIN = 0.25
_MOST_FAILURES = 300  # MPICH has 2,048 communicators; each failed task keeps one or two


class Functions:
    """Runs of functions with `comm`.

    When a rank is lost or hangs its world is retired: the run keeps its lease until its ranks are ended, or frozen, and
    the next run starts a new world.

    Args:
        config: The user's.
        context: The block.
        launcher: The block's.
    """

    def __init__(self, config: MPIRuntime, context: Context, launcher: Launcher) -> None:
        self._context, self._events, self._launcher = context, context.events, launcher
        self._deferred = Deferred(context.events)
        self._exchange = Exchange(context, "mpi-ranks", self._receive, left=self._rank_left)
        self._worlds = Worlds(config, context, launcher=launcher, exchange=self._exchange, on_end=self._world_ended)
        self._jobs: dict[int, Job] = {}
        self._causes: dict[int, RhapsodyError] = {}
        self._held: dict[int, list[Result]] = {}
        self._stopping = False

    def start(self) -> None:
        """Open the exchange; idempotent. Worlds start with the runs that need them."""
        self._exchange.start()

    async def stop(self) -> None:
        """End all worlds; idempotent."""
        self._stopping = True
        await self._worlds.stop()
        self._exchange.stop()

    def _variables(self, run: Run) -> dict[str, str]:
        """Return those of a launch: a rank may start programs over the lease of its gang."""
        lines = environment(self._launcher, run, self._context.folder, self._context.noting(run))
        return {**lines, **meeting_place(run)}

    # --- what the pilot asks -------------------------------------------------------------------------------------

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Give tasks to a run."""
        job = self._jobs.get(run.id)
        if job is None:
            if importlib.util.find_spec("mpi4py") is None:
                self._lose(run.id, MissingPackage("mpi4py", "mpi", self._context.python))
                return
            job = self._jobs[run.id] = Job(run, self._variables(run))
        job.queue.extend(tasks)
        self._advance(job)

    def worker_of(self, run: int) -> str:
        """Return the name of the world that has a run, or ""."""
        world = self._worlds.of_run.get(run)
        return world.name if world else ""

    def end(self, run: Run) -> None:
        """The run is over."""
        if self._jobs.pop(run.id, None) is not None:
            self._worlds.leave(run.id)
            self._advance_waiting()

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Take back what has not begun; with `kill`, end the ranks of what has."""
        job = self._jobs.get(run.id)
        if job is None:
            return
        if taken := job.recall(tasks):
            self._deferred.returned(run.id, taken)
        sent = [task for task in tasks if task in job.open]
        if sent and not job.ending:
            self._revoke(job, sent)
            if kill:
                asyncio.get_running_loop().call_later(_ANSWER_WITHIN, self._end_if_running, job, sent)

    def _revoke(self, job: Job, tasks: Sequence[int]) -> None:
        """Ask a run's ranks for tasks back, and for the results they have not sent yet."""
        world = self._worlds.of_run[job.run.id]
        for rank in job.ranks:
            self._exchange.send(world.peers[rank], Recall(job.run.id, list(tasks)))

    # --- what the ranks tell -------------------------------------------------------------------------------------

    def _receive(self, peer: str, message: FromBackend) -> None:
        known = self._worlds.of_peer.get(peer)
        if known is None:
            return
        world, rank = known
        match message:
            case Done(run=run, results=results):
                self._done(world, rank, run, results)
            case Ready():
                world.arrived(rank, message)
                self._advance_all(world)
            case Returned(run=run, tasks=tasks):
                self._note_returned(world, rank, run, tasks)
            case Pieces(run=run, pieces=pieces):
                self._events.pieces(run, pieces, partial(self._exchange.send, peer))
            case Failed():
                world.retire()
            case _:
                return

    def _rank_left(self, peer: str) -> None:
        if known := self._worlds.of_peer.get(peer):
            world, rank = known
            world.note_gone(rank)

    def _advance_all(self, world: World) -> None:
        for job in list(world.jobs.values()) if world.ready else ():
            self._advance(job)

    def _note_returned(self, world: World, rank: int, run: int, tasks: Sequence[int]) -> None:
        job = world.jobs.get(run)
        if job is None or job.ending or rank != job.ranks[0]:
            return  # the first rank decides for its group
        if back := job.recalled(tasks):
            self._events.returned(run, back)

    def _done(self, world: World, rank: int, run: int, results: Sequence[Result]) -> None:
        job = world.jobs.get(run)
        if job is None or job.ending:
            return
        was_stuck = job.stuck
        ended = job.report(rank, results)
        world.failures += sum(result.kind != RESULT for result in ended)
        if world.failures > _MOST_FAILURES:
            world.retire()
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
        world = self._worlds.of_run.get(run)
        if world and world.retired and world.ready and not job.open:
            self._worlds.leave(run)
            world = None
        world = world or self._assign(job)
        if world and world.ready and not world.retired and not (job.alone and job.open):
            self._send(world, job)

    def _assign(self, job: Job) -> World | None:
        try:
            return self._worlds.assign(job)
        except RuntimeUnavailable as error:
            self._lose(job.run.id, error)
            return None

    def _send(self, world: World, job: Job) -> None:
        tasks, run, ranks = job.send(), job.run, job.ranks
        common = {**self._context.environment, **job.variables}
        own, setting = variables_of(run), setting_of(self._context, run)
        number, at = self._context.notice(run)
        for host, pids in world.processes_of(job).items() if run.spec.resources.memory else ():
            self._events.at_work(run, host, pids)
        for member, of_rank in zip(job.members, job.of_ranks, strict=True):
            env = {**common, **of_rank, **shown_gpus(member.placed.node, member.placed.share.gpus), **own}
            work = Work(
                run.id, "rank", member.placed.real_cores, env, tasks, ranks,
                all_results=run.spec.policy.returns == "all",
                memory=run.memory_on(member.placed.node.host),
                signal=number,
                signal_at=at,
                setting=setting,
            )  # fmt: skip
            self._exchange.send(world.peers[member.rank], work)

    def _end_ranks(self, job: Job) -> None:
        """End a run's ranks: with their world, or frozen in it while others are at work there."""
        job.ending = True
        world = self._worlds.of_run[job.run.id]
        world.retire()
        if len(world.jobs) > 1 and not world.ended and world.freeze(job.ranks):
            self._conclude(job, self._causes.pop(job.run.id, None), begun=1)

    def _conclude(self, job: Job, cause: RhapsodyError | None, begun: int) -> None:
        """Nothing of a run is at work any more: report what it leaves; what had not begun goes on in another world.

        Args:
            job: The run.
            cause: For the tasks that were lost with the ranks.
            begun: How many of the tasks sent may have begun.
        """
        run = job.run.id
        self._worlds.leave(run)
        if held := self._held.pop(run, None):
            job.ending = False
            self._events.done(run, held)
        elif failures := job.leave_world():
            self._events.done(run, failures)
        elif job.open:
            del self._jobs[run]
            self._events.lost(run, cause or RuntimeLost("mpi", "its ranks ended"), job.tasks[begun:])
            return
        self._advance(job)

    def _world_ended(self, world: World, marks: Mapping[str, int]) -> None:
        """Hear what its ranks said last; what they were at is lost, and the other runs get another world."""
        if self._stopping:
            return
        self._exchange.drain()
        jobs = list(world.jobs.values())
        blames = [world.blame(job) for job in jobs]  # while it knows of all
        for job, blame in zip(jobs, blames, strict=True):
            run = job.run.id
            cause = self._causes.pop(run, None) or blame
            if world.lost_rank_of(job):
                job.disregard_failures()
            if world.ready:
                begun = 1 if job.ending else job.begun(marks.get(world.peers[rank]) for rank in job.ranks)
                self._conclude(job, _as_start(cause) if set(marks.values()) == {NONE} else cause, begun)
            else:
                self._worlds.leave(run)
                del self._jobs[run]
                may_start_again = isinstance(cause, BackendFailed) and not world.late
                self._events.lost(run, cause, job.tasks if may_start_again else ())
        self._advance_waiting()

    def _advance_waiting(self) -> None:
        for job in list(self._jobs.values()):
            if job.run.id not in self._worlds.of_run:
                self._advance(job)

    def _lose(self, run: int, error: RhapsodyError) -> None:
        """A run cannot be: nobody waits for a world."""
        self._jobs.pop(run, None)
        self._deferred.lost(run, error)


def _as_start(cause: RhapsodyError) -> RhapsodyError:
    """A world that ended before it began any task did not come up: such tasks are not tried without an end."""
    return cause if isinstance(cause, BackendFailed) else BackendFailed("An MPI world", *cause.args[1:])
