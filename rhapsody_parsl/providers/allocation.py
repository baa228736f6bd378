"""`AllocationProvider`: the block is the allocation that this process already stands in."""

import itertools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SimpleLauncher
from parsl.launchers.base import Launcher
from parsl.providers.base import ExecutionProvider
from parsl.providers.errors import SubmitException
from parsl.utils import RepresentationMixin

from rhapsody_parsl.annotations.arguments import checked
from rhapsody_parsl.annotations.limits import check_period
from rhapsody_parsl.cluster.batch import NoAllocation, allocated
from rhapsody_parsl.cluster.names import of_this_host
from rhapsody_parsl.cluster.node_launcher import check_node_launcher, detect
from rhapsody_parsl.hosts.guarded_script import GuardedScript
from rhapsody_parsl.providers.checks import check_blocks
from rhapsody_parsl.spelling import spelled

__all__ = ("AllocationProvider",)

_POLLING = 2


@spelled
class AllocationProvider(ExecutionProvider, RepresentationMixin):
    """Runs the block in the batch job that this process is in: `salloc`, `sbatch`, `qsub -I`, `flux alloc`, `bsub -Is`.

    There is one block. Its command runs on this node if the allocation has it, or else on the allocation's first node.
    It is killed, with everything below it, when it is cancelled and when this process exits.

    Args:
        worker_init: Shell commands before the block's own.
        launcher: Parsl's; `SimpleLauncher()` by default, which suits RhapsodyExecutor on any number of nodes.
        init_blocks: 1, or 0 to start with the first task.
        min_blocks: 1 to keep the block when it is idle.
        parallelism: See Parsl.
        node_launcher: How to reach the first node from outside of the allocation (a login node under salloc): `auto`,
            `srun`, `ssh`, `pals`, `flux`, or a command with `{host}` in it.
        cmd_timeout: Seconds that a cancelled command has to exit.

    Raises:
        InvalidTask: A number, or the way to the first node, cannot work.
        NoAllocation: This process is in no allocation.
        InventoryUnknown: The batch system's list of hosts cannot be read.
    """

    @checked
    def __init__(  # noqa: PLR0913, PLR0917 - Parsl users expect flat keywords
        self,
        worker_init: str = "",
        launcher: Launcher | None = None,
        init_blocks: int = 1,
        min_blocks: int = 0,
        parallelism: int | float = 1,
        node_launcher: str = "auto",
        cmd_timeout: int = 30,
    ) -> None:
        check_blocks(init_blocks, min_blocks, parallelism)
        check_period("cmd_timeout", cmd_timeout)
        check_node_launcher(node_launcher)
        self.worker_init = worker_init
        self.launcher = launcher or SimpleLauncher()
        self.init_blocks, self.min_blocks, self.max_blocks = init_blocks, min_blocks, 1
        self.parallelism = parallelism
        self.node_launcher = node_launcher
        self.cmd_timeout = cmd_timeout
        self.script_dir: str | None = None
        self.cores_per_node: int | None = None
        self.mem_per_node: float | None = None
        self.resources: dict[object, Any] = {}
        self._hosts = [host.name for host in allocated(os.environ)]
        if not self._hosts:
            raise NoAllocation
        self.nodes_per_block = len(self._hosts)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._running: dict[object, GuardedScript] = {}
        self._cancelled: set[object] = set()
        self._scripts: dict[object, Path] = {}

    @property
    def label(self) -> str:
        """Parsl's name for the kind of provider."""
        return "allocation"

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two looks; ours cost nothing."""
        return _POLLING

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.allocation") -> object:
        """Start the block's command.

        Raises:
            SubmitException: The allocation is taken by an earlier command that does not end.
            Unreachable: We stand on none of its nodes, and there is no way to the first.
        """
        with self._lock:
            self._make_room(job_name)
            script = Path(self.script_dir or ".").absolute() / f"{job_name}.{next(self._numbers)}.sh"
            line = self.launcher(command, tasks_per_node, self.nodes_per_block, str(script.parent))
            script.write_text(f"{self.worker_init}\nexport JOBNAME={script.stem}\n{line}\n")
            started = self._start(script)
            job = str(started.pid)
            self._running[job], self._scripts[job] = started, script
            self.resources[job] = JobStatus(JobState.RUNNING)
            return job

    def status(self, job_ids: Sequence[object]) -> Sequence[JobStatus]:
        """Return what became of each command; it has ended when nothing of it is left."""
        with self._lock:
            for job, script in list(self._running.items()):
                if (code := script.poll()) is not None:
                    self._note_end(job, code)
            return [self.resources[job] for job in job_ids]

    def cancel(self, job_ids: Sequence[object]) -> Sequence[bool]:
        """End commands with everything below them, and wait for that."""
        with self._lock:
            ending = {job: script for job, script in self._running.items() if job in job_ids}
            self._cancelled.update(ending)
            for script in ending.values():
                script.end()
            for script in ending.values():
                if not script.wait(self.cmd_timeout):
                    script.kill()
        return [True for _ in job_ids]

    def _make_room(self, job_name: str) -> None:
        """The allocation is one block: a command that is about to leave is waited for."""
        for script in self._running.values():
            if not script.wait(self.cmd_timeout):
                raise SubmitException(job_name, "the allocation is one block, and an earlier command still runs in it")

    def _start(self, script: Path) -> GuardedScript:
        if of_this_host(self._hosts):
            return GuardedScript(script)
        return GuardedScript(script, self._hosts[0], detect(self.node_launcher, os.environ))

    def _note_end(self, job: object, code: int) -> None:
        state = JobState.COMPLETED if code == 0 else JobState.FAILED
        if job in self._cancelled:
            state = JobState.CANCELLED
        script = self._scripts[job]
        self.resources[job] = JobStatus(state, exit_code=code, stdout_path=f"{script}.out", stderr_path=f"{script}.err")
        self._running.pop(job).end()
