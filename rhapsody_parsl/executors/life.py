"""The life of blocks as Parsl's scaling sees it: started, judged by their jobs, scaled in, and told to monitoring."""

import contextlib
import logging
import shlex
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.error_handlers import simple_error_handler
from parsl.jobs.states import TERMINAL_STATES, JobState, JobStatus
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider
from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.checks import check_scripts
from rhapsody_parsl.executors.judgement import since_work, to_start
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.nodes import node_messages

__all__ = ("GOODBYE_TIMEOUT", "BlockLife")

log = logging.getLogger(__name__)

GOODBYE_TIMEOUT = 20.0
"""Seconds a block may take to leave; Dragon's teardown over several nodes has half of them."""
_NEVER_SPOKE = (
    "The job ended before a pilot in it spoke to the executor: see the job's output below, "
    "and block-*.log in the run directory."
)

_OUTLIVES = "trap : TERM; "
"""Has the shell of a job's script stay until the pilot has left. Slurm asks all processes of a job to leave, and kills
what a shell has started when that has left, which is at once: the pilot had no time. Others may ask the shell alone."""
_HUNG = "Its pilot was silent and its job did not end, so it was cancelled."


class BlockLife(BlockProviderExecutor):
    """The part of the executor that Parsl's job poller talks to.

    Args:
        provider: Starts the blocks' jobs.
        block_error_handler: See Parsl.
        launch_cmd: Command that starts the pilot in a block.
    """

    def __init__(
        self,
        provider: ExecutionProvider,
        block_error_handler: bool | Callable[[BlockProviderExecutor, dict[str, JobStatus]], None],
        launch_cmd: str,
    ) -> None:
        wish = block_error_handler
        super().__init__(provider=provider, block_error_handler=wish if type(wish) is bool else True)
        if type(wish) is not bool:
            self.block_error_handler = wish
        self.launch_cmd = launch_cmd
        self._link: Link | None = None
        self._config_path: Path | None = None
        self._launched: dict[str, float] = {}
        self._first_asked, self._first = 0, list[str]()
        self._draining: set[str] = set()
        self._worked: set[str] = set()
        self._lost: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._cut_checks: set[str] = set()
        self._closed = False

    def start(self) -> None:
        """Begin, once.

        Raises:
            RhapsodyError: It was shut down before.
            InvalidTask: No job can be started from the run directory.
        """
        if self._closed:
            raise RhapsodyError(f"Executor {self.label} was shut down: make another one for the next Config.")
        check_scripts(self.provider)
        super().start()  # type: ignore[no-untyped-call]  # Parsl's

    # --- started -------------------------------------------------------------------------------------------------

    def scale_out_facade(self, n: int) -> list[str]:
        """Start `n` blocks; the initial ones, which `start` has started or tried to, are not started twice."""
        asked, first = self._first_asked, self._first
        self._first_asked, self._first = 0, []
        return first + super().scale_out_facade(max(0, n - asked))

    def _start_first(self) -> None:
        """Start the initial blocks: Parsl's scaling asks for them up to 5 s later, and nobody need wait for that."""
        if self.provider:
            self._first = super().scale_out_facade(self.provider.init_blocks)
            self._first_asked = self.provider.init_blocks

    def _launch_block(self, block_id: str) -> Any:
        self._launched[block_id] = time.monotonic()
        return super()._launch_block(block_id)

    def _get_launch_command(self, block_id: str) -> str:
        python = "python3" if getattr(self.provider, "worker_init", "") else sys.executable
        command = self.launch_cmd.format(
            python=shlex.quote(python), config=shlex.quote(str(self._config_path)), block_id=block_id
        )
        if isinstance(self.provider, SlurmProvider) and type(self.provider.launcher) is SimpleLauncher:
            return _OUTLIVES + command
        return command

    # --- judged --------------------------------------------------------------------------------------------------

    def connected_blocks(self) -> list[str]:
        """Numbers of all blocks whose pilot has ever said hello, as HighThroughputExecutor counts them."""
        return list(self._link.blocks.seen) if self._link else []

    def status(self) -> dict[str, JobStatus]:
        """Return the state of each block's job.

        One that ended before its pilot said hello is `MISSING`. One that was cancelled because it hung counts as ended,
        whether it ends or not: it must not keep the place of another.
        """
        known: dict[str, JobStatus] = super().status()
        connected = self.connected_blocks()
        for id_, job in known.items():
            if job.terminal and id_ not in connected and job.state is not JobState.SCALED_IN:
                why = self._link.blocks.refused.get(id_, _NEVER_SPOKE) if self._link else _NEVER_SPOKE
                message = job.message if job.message is not None else why
                known[id_] = JobStatus(JobState.MISSING, message, job.exit_code, job.stdout_path, job.stderr_path)
            elif id_ in self._given_up and not job.terminal:
                known[id_] = JobStatus(JobState.CANCELLED, _HUNG)
        return known

    def handle_errors(self, status: dict[str, JobStatus]) -> None:
        """Tell the tasks of ended blocks what happened to them, judge the executor, start blocks where none is left.

        Parsl's default handler sees what `since_work` leaves of the blocks; a handler of the user's sees all.
        """
        for block, job in status.items():
            if job.state is not JobState.SCALED_IN:  # what we told to leave may still finish what it has
                self._note_end(block, job)
        judged = since_work(status, self.connected_blocks(), self._worked)
        super().handle_errors(judged if self.block_error_handler is simple_error_handler else status)
        self._cancel_silent(status)
        if not self.bad_state_is_set and not self._closed:
            self._start_for_waiting(status, judged)

    def _start_for_waiting(self, status: dict[str, JobStatus], judged: dict[str, JobStatus]) -> None:
        """Start blocks when none takes tasks or ever did, and tasks wait: with `strategy="none"` nobody else would."""
        if self._link is None:
            return
        waiting = self.outstanding() - sum(len(block.tasks) for block in self._link.blocks)
        blocks = max(1, getattr(self.provider, "init_blocks", 1))
        leaving = {block.id for block in self._link.blocks if block.closing}
        others = {id_: job for id_, job in status.items() if job.terminal or id_ not in leaving}
        most = getattr(self.provider, "max_blocks", 1) - (len(status) - len(others))
        wanted = max(0, min(blocks, most, waiting))
        if count := to_start(others, self._lost, self._worked, judged, wanted=wanted, first=blocks):
            log.warning("executor %s: tasks wait and no block takes them; starting %d", self.label, count)
            super().scale_out_facade(count)

    def _cancel_silent(self, status: dict[str, JobStatus]) -> None:
        """Cancel the jobs of lost blocks that do not end: a pilot that hangs would hold the last place for ever.

        A job that waits was put back into its queue, and will be the block again.
        """
        late = time.monotonic() - GOODBYE_TIMEOUT
        hold = {id_ for id_, job in status.items() if not job.terminal and job.state is not JobState.PENDING}
        hung = {id_ for id_, since in self._lost.items() if since < late} & hold & self.blocks_to_job_id.keys()
        self._cancel_jobs(hung)
        self._given_up |= hung

    @property
    def workers_per_node(self) -> int | float:
        """Tasks of one core that a node runs at once: as a block said, as declared, or 1 before either is known."""
        if self._link:
            for inventory in self._link.blocks.inventories():
                return max(1, inventory.cores // len(inventory.nodes))
        return self._declared_cores() or getattr(self.provider, "cores_per_node", None) or 1

    def _declared_cores(self) -> int:
        return 0

    def _check_job(self, block: str) -> None:
        done = threading.Event()
        for _ in range(10):
            done.wait(0.5)
            job = self.blocks_to_job_id.get(block)
            if self._closed or self.provider is None or job is None or self._link is None:
                break
            status = self.provider.status([job])[0]
            if self._note_end(block, status) or self._note_requeued(block, status):
                self._last_poll_time = 0.0  # the poller need not wait for its provider's turn
                break
        self._cut_checks.discard(block)

    def _note_end(self, block: str, status: JobStatus) -> bool:
        """Tell the tasks of a connected block when its job has ended; return whether it has."""
        if status.state not in TERMINAL_STATES:
            return False
        if self._link and self._link.blocks.get(block):
            tail = (status.stderr_summary or "").strip()[-2000:]
            self._link.lose_block(block, f"its job ended ({status.state.name.lower()})", tail)
        return True

    def _note_requeued(self, block: str, status: JobStatus) -> bool:
        """Tell the tasks of a block that was cut off when its job waits again; return whether it does."""
        if status.state is not JobState.PENDING or self._link is None:
            return False
        known = self._link.blocks.get(block)
        if known and known.cut:  # else it has been started again meanwhile
            self._link.lose_block(block, "its job was put back into the queue", "")
        return True

    # --- scaled in -----------------------------------------------------------------------------------------------

    def scale_in(self, blocks: int, max_idletime: float | None = None) -> list[str]:
        """End blocks; one that still works finishes what it has begun, gives back the rest and leaves then.

        Args:
            blocks: How many.
            max_idletime: Given by Parsl's `htex_auto_scale`: only blocks that have held no task for as many seconds,
                the longest idle first. Without it, those with the fewest tasks first.

        Returns:
            The blocks told to leave.
        """
        active = [id_ for id_, job in self._status.items() if job.state not in TERMINAL_STATES]
        launched = {id_: self._launched[id_] for id_ in active if id_ in self.blocks_to_job_id}
        if self._link is None or not launched:
            return []
        working = self._link.retire(launched, blocks, max_idletime)
        self._draining.update(id_ for id_, works in working.items() if works)
        idle = [id_ for id_, works in working.items() if not works]
        self._link.stop_blocks(idle, GOODBYE_TIMEOUT)
        self._cancel_jobs(idle)
        return list(working)

    def drain(self, blocks: Collection[str] | None = None) -> list[str]:
        """Have blocks finish what they have begun, give back the rest and leave.

        What they give back runs in the blocks that come next: Parsl's scaling asks for these while tasks wait.

        Args:
            blocks: Their numbers; default all.

        Returns:
            Those that were told.
        """
        if self._link is None:
            return []
        open_blocks = [block.id for block in self._link.blocks if not block.closing]
        there = [id_ for id_ in open_blocks if blocks is None or id_ in blocks]
        self._link.drain(there)
        self._draining.update(there)
        return there

    def job_states(self) -> dict[str, str]:
        """Return the state of the provider's job of each block, as Parsl last saw it."""
        return {id_: job.state.name.lower() for id_, job in self._status.items()}

    def _cancel_rest(self) -> None:
        """End the jobs that nobody else will: of blocks that hung or were to finish first; all of a failed executor."""
        self._cancel_jobs(self.blocks_to_job_id if self.bad_state_is_set else self._draining | self._given_up)

    def _cancel_jobs(self, blocks: Iterable[str]) -> None:
        """Cancel jobs; where the provider cannot, as without a process more, the pilots still leave by themselves."""
        jobs = [self.blocks_to_job_id[id_] for id_ in blocks]
        if not self.provider or not jobs:
            return
        try:
            statuses = zip(jobs, self.provider.status(jobs), strict=True)
            self.provider.cancel([job for job, status in statuses if status.state not in TERMINAL_STATES])
        except Exception:  # each provider has its own
            log.exception("executor %s: jobs %s could not be cancelled", self.label, ", ".join(map(str, jobs)))

    # --- what the link tells (part of its `Outcomes`; on its thread) ---------------------------------------------

    def joined(self, block: Block) -> None:
        """Tell Parsl's monitoring of a block's nodes; one that was lost is back when its job was started again."""
        self._lost.pop(block.id, None)
        self._given_up.discard(block.id)
        self._tell_nodes(block, active=True)

    def left(self, block: Block) -> None:
        """Note whether it had worked and whether it was lost; tell Parsl's monitoring that its nodes are gone."""
        if block.served:
            self._worked.add(block.id)
        if block.lost:
            self._lost[block.id] = time.monotonic()
        self._tell_nodes(block, active=False)

    def cut(self, block: str) -> None:
        """A connection ended: when the block's job has ended too, its tasks need not wait for the heartbeat."""
        if block not in self._cut_checks and not self._closed:
            checker = threading.Thread(target=self._check_job, args=(block,), name=f"check block {block}", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread more for this user: Parsl's poller sees it, later
                checker.start()
                self._cut_checks.add(block)

    def _tell_nodes(self, block: Block, active: bool) -> None:
        if self.submit_monitoring_radio:
            for message in node_messages(block, str(self.run_id), active):
                self.submit_monitoring_radio.send(message)
