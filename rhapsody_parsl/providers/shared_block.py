"""`SharedBlock`: one batch job of any Parsl provider for several executors, each on its own cores or nodes."""

import itertools
import shlex
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from parsl.jobs.states import JobStatus
from parsl.launchers import SimpleLauncher, SingleNodeLauncher
from parsl.launchers.base import Launcher
from parsl.providers.base import ExecutionProvider
from parsl.providers.errors import SubmitException
from parsl.utils import RepresentationMixin

from rhapsody_parsl.annotations.arguments import checked
from rhapsody_parsl.annotations.limits import check_range
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.hosts.share_supervisor import Order, variables_of, write_whole
from rhapsody_parsl.providers.checks import check_blocks
from rhapsody_parsl.providers.shared_job import SharedJob
from rhapsody_parsl.spelling import spelled

__all__ = ("SharedBlock", "SharedBlockProvider")


@spelled
class SharedBlock(RepresentationMixin):
    """One job, divided: `RhapsodyExecutor(provider=block.share(cores=6))` beside another with `block.share(cores=2)`.

    The job is submitted with the first share's command, and stopped when the last share stops.

    Args:
        provider: Submits the job. It must start one process in it, so on several nodes it needs `SimpleLauncher()`.

    Raises:
        InvalidTask: Its launcher would start several.
    """

    @checked
    def __init__(self, provider: ExecutionProvider) -> None:
        self.provider = provider
        self.nodes = getattr(provider, "nodes_per_block", 1) or 1
        launcher = getattr(provider, "launcher", None)
        if self.nodes > 1 and not isinstance(launcher, SimpleLauncher | SingleNodeLauncher | None):
            raise InvalidTask(
                "launcher", type(launcher).__name__, "it starts one process a node, and a shared job has one in all",
                "Give the provider launcher=SimpleLauncher(), and the share that needs it the other.",
            )  # fmt: skip
        self._given = 0
        self._shares = itertools.count()
        self._orders = itertools.count(1)
        self._lock = threading.Lock()
        self._jobs: dict[str, SharedJob] = {}

    @checked
    def share(self, *, cores: int | None = None, nodes: int | None = None, **options: Any) -> "SharedBlockProvider":
        """Return a provider for one executor's share. Shares take cores or nodes in order, from the first on.

        Args:
            cores: How many cores of the job's node, if it has one node.
            nodes: How many nodes, if it has several.
            options: `launcher`, `init_blocks`, `min_blocks`, `parallelism` of `SharedBlockProvider`.

        Raises:
            InvalidTask: The block cannot be divided in this way.
        """
        unit, count = ("cores", cores) if self.nodes == 1 else ("nodes", nodes)
        if count is None or (cores is not None and nodes is not None):
            raise InvalidTask(
                "share", {"cores": cores, "nodes": nodes}, f"a block of {self.nodes} node(s) is divided by {unit}"
            )
        check_range(unit, count, 1)
        there = self.nodes if unit == "nodes" else getattr(self.provider, "cores_per_node", None)
        if there and self._given + count > there:
            raise InvalidTask(unit, count, f"{self._given} of the block's {there} {unit} are given to other shares")
        share = SharedBlockProvider(self, next(self._shares), unit, self._given, count, **options)
        self._given += count
        return share

    def submit(self, share: "SharedBlockProvider", command: str, job_name: str) -> str:
        """Order a share's command in the job that runs; in a new one where none does."""
        with self._lock:
            job = next((job for job in self._jobs.values() if job.open()), None)
            folder = job.folder if job else self._new_folder(share)
            number = str(next(self._orders))
            script = folder.parent / f"{job_name}.{folder.name}.{number}.sh"
            line = share.launcher(command, 1, share.nodes_per_block, str(folder.parent))
            first_read = shlex.quote(str(variables_of(folder, share.number)))
            script.write_text(f". {first_read}\nexport JOBNAME={shlex.quote(script.stem)}\n{line}\n")
            order = Order(share.number, str(script), share.unit, share.first, share.count)
            write_whole(folder / f"{number}.json", msgspec.json.encode(order).decode())
            job = job or self._start_job(folder, job_name)
            job.ordered(number, script)
            return f"{job.id}:{number}"

    def status(self, ids: Sequence[object]) -> list[JobStatus]:
        """Return what became of commands; a job whose commands have all ended is ended."""
        with self._lock:
            jobs = {job: self._jobs[job] for job, _ in map(_split, ids)}
            for job in jobs.values():
                job.look()
            return [jobs[job].status[number] for job, number in map(_split, ids)]

    def cancel(self, ids: Sequence[object]) -> list[bool]:
        """End commands, and with the last of its commands a job."""
        with self._lock:
            return [self._jobs[job].cancel(number) for job, number in map(_split, ids)]

    def _new_folder(self, share: "SharedBlockProvider") -> Path:
        folder = Path(share.script_dir or ".").absolute() / f"shared-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700)
        return folder

    def _start_job(self, folder: Path, job_name: str) -> SharedJob:
        self.provider.script_dir = str(folder.parent)
        python = "python3" if getattr(self.provider, "worker_init", "") else sys.executable
        command = f"{shlex.quote(python)} -m rhapsody_parsl.hosts.share_supervisor {shlex.quote(str(folder))}"
        id_ = self.provider.submit(command, 1, f"{job_name}.shared")
        if not id_:
            raise SubmitException(job_name, "the shared job was not accepted")
        job = SharedJob(self.provider, id_, folder)
        self._jobs[str(id_)] = job
        return job


@spelled
class SharedBlockProvider(ExecutionProvider, RepresentationMixin):
    """One executor's share of a `SharedBlock`, which makes it: `block.share(...)`.

    Args:
        block: Whose share.
        number: Which share.
        unit: `cores` or `nodes`.
        first: Number of its first one.
        count: How many.
        launcher: Parsl's, for the share's own command; default `SimpleLauncher()`.
        init_blocks: 1, or 0 to start with the first task.
        min_blocks: 1 to keep the share's command when it is idle.
        parallelism: See Parsl.

    Raises:
        InvalidTask: A number that cannot be.
    """

    @checked
    def __init__(  # noqa: PLR0913, PLR0917 - made by `share`
        self,
        block: SharedBlock,
        number: int,
        unit: str,
        first: int,
        count: int,
        launcher: Launcher | None = None,
        init_blocks: int = 1,
        min_blocks: int = 0,
        parallelism: int | float = 1,
    ) -> None:
        check_blocks(init_blocks, min_blocks, parallelism)
        self.block, self.number, self.unit, self.first, self.count = block, number, unit, first, count
        self.launcher = launcher or SimpleLauncher()
        self.init_blocks, self.min_blocks, self.max_blocks = init_blocks, min_blocks, 1
        self.parallelism = parallelism
        self.nodes_per_block = count if unit == "nodes" else 1
        self.cores_per_node: int | None = count if unit == "cores" else None
        self.mem_per_node: float | None = None
        self.worker_init = getattr(block.provider, "worker_init", "")
        self.script_dir: str | None = None
        self.resources: dict[object, Any] = {}

    @property
    def label(self) -> str:
        """The job's provider, and that it is shared."""
        return f"shared_{self.block.provider.label}"

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two looks, as for the job's provider."""
        return self.block.provider.status_polling_interval

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.shared") -> object:
        """Start the executor's command in the job.

        Raises:
            SubmitException: The job was not accepted.
        """
        return self.block.submit(self, command, job_name)

    def status(self, job_ids: Sequence[object]) -> Sequence[JobStatus]:
        """Return what became of each command: the job's state until it has its own."""
        return self.block.status(job_ids)

    def cancel(self, job_ids: Sequence[object]) -> Sequence[bool]:
        """End commands; the other shares go on."""
        return self.block.cancel(job_ids)


def _split(id_: object) -> tuple[str, str]:
    job, _, number = str(id_).rpartition(":")
    return job, number
