from collections.abc import Sequence
from pathlib import Path

import pytest
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.executors import life
from rhapsody_parsl.executors.blocks import Block


class Queue(LocalProvider):
    """A batch system whose jobs run until they are cancelled."""

    def __init__(self, deaf: bool = False) -> None:
        super().__init__(init_blocks=1, max_blocks=1)  # type: ignore[no-untyped-call]  # Parsl's
        self.deaf = deaf
        self.jobs: dict[object, JobStatus] = {}

    def submit(self, command: str, tasks_per_node: int, job_name: str = "") -> object:
        job = str(len(self.jobs))
        self.jobs[job] = JobStatus(JobState.RUNNING)
        return job

    def status(self, job_ids: Sequence[object]) -> list[JobStatus]:
        return [self.jobs[job] for job in job_ids]

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        if not self.deaf:
            self.jobs.update(dict.fromkeys(job_ids, JobStatus(JobState.CANCELLED)))
        return [True for _ in job_ids]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_lost_block_whose_job_runs_on_is_cancelled_and_replaced(
    deaf: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the job's end is not seen, as under a first process of a container that reaps no orphans."""
    monkeypatch.chdir(tmp_path)
    queue = Queue(deaf)
    executor = RhapsodyExecutor(provider=queue, runtimes=[LocalRuntime()])
    executor.run_dir = str(tmp_path)
    executor.start()
    try:
        executor.submit(int, {})
        assert executor._link
        executor._link.blocks.seen.append("0")
        block = Block("0", 0.0)
        block.lost = True
        executor.left(block)
        executor.handle_errors(executor.status())
        assert [job.state for job in queue.jobs.values()] == [JobState.RUNNING]  # its pilot may leave by itself
        monkeypatch.setattr(life, "GOODBYE_TIMEOUT", -1.0)
        executor.handle_errors(executor.status())
        executor.handle_errors(executor.status())
        assert [job.state for job in executor.status().values()] == [JobState.CANCELLED, JobState.RUNNING]
        assert len(queue.jobs) == 2
        assert not executor.bad_state_is_set
    finally:
        executor.shutdown()
