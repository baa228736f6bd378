import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SimpleLauncher, SingleNodeLauncher
from parsl.launchers.base import Launcher
from parsl.providers import LocalProvider, SlurmProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockLost, InvalidTask, RhapsodyError
from rhapsody_parsl.executors import life
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.checks import check_scripts
from testing.waiting import until


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


@pytest.fixture
def queue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.chdir(tmp_path)
    return Queue(deaf=getattr(request, "param", False))


@pytest.fixture
def executor(queue: Queue, tmp_path: Path) -> Iterator[RhapsodyExecutor]:
    """An executor with a task and a block that has connected."""
    executor = RhapsodyExecutor(provider=queue, runtimes=[LocalRuntime()])
    executor.run_dir = str(tmp_path)
    executor.start()
    try:
        executor.submit(int, {})
        assert executor._link
        executor._link.blocks.seen.append("0")
        yield executor
    finally:
        executor.shutdown()


def lose(executor: RhapsodyExecutor) -> None:
    block = Block("0", 0.0)
    block.lost = True
    executor.left(block)


@pytest.mark.parametrize("queue", [False, True], indirect=True)
def test_a_lost_block_whose_job_runs_on_is_cancelled_and_replaced(
    executor: RhapsodyExecutor, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the job's end is not seen, as under a first process of a container that reaps no orphans."""
    lose(executor)
    executor.handle_errors(executor.status())
    assert [job.state for job in queue.jobs.values()] == [JobState.RUNNING]  # its pilot may leave by itself
    monkeypatch.setattr(life, "GOODBYE_TIMEOUT", -1.0)
    executor.handle_errors(executor.status())
    executor.handle_errors(executor.status())
    assert [job.state for job in executor.status().values()] == [JobState.CANCELLED, JobState.RUNNING]
    assert len(queue.jobs) == 2
    assert not executor.bad_state_is_set


def test_a_lost_block_whose_job_waits_again_is_waited_for(
    executor: RhapsodyExecutor, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was requeued, as after the loss of a node, may wait for hours."""
    monkeypatch.setattr(life, "GOODBYE_TIMEOUT", -1.0)
    lose(executor)
    queue.jobs["0"] = JobStatus(JobState.PENDING)
    executor.handle_errors(executor.status())
    executor.handle_errors(executor.status())
    assert [job.state for job in queue.jobs.values()] == [JobState.PENDING]


def test_tasks_of_a_block_that_was_cut_off_hear_that_its_job_waits_again(
    executor: RhapsodyExecutor, queue: Queue
) -> None:
    """At once, and not only when its pilot has been silent for long."""
    link = executor._link
    assert link
    block = Block("0", time.monotonic())
    link.call(lambda: link.blocks.add(block))
    queue.jobs["0"] = JobStatus(JobState.PENDING)
    executor.cut("0")
    time.sleep(0.7)
    assert link.blocks.get("0") is block, "a look at the queue from before it started"
    block.cut = True
    executor._cut_checks.clear()
    executor.cut("0")
    until(lambda: link.blocks.get("0") is None, 5)


@pytest.mark.parametrize(("most", "jobs"), [(1, 1), (2, 2)])
def test_a_block_that_takes_no_more_is_followed_while_it_still_works(
    executor: RhapsodyExecutor, queue: Queue, most: int, jobs: int
) -> None:
    queue.max_blocks = most
    assert executor._link
    leaving = Block("0", 0.0)
    leaving.closing = True
    executor._link.blocks.add(leaving)
    for _ in range(3):
        executor.handle_errors(executor.status())
    assert len(queue.jobs) == jobs


def test_an_executor_that_was_shut_down_says_so(executor: RhapsodyExecutor) -> None:
    executor.shutdown()
    with pytest.raises(RhapsodyError, match="was shut down: make another one"):
        executor.start()


def test_a_second_interrupt_ends_the_wait_for_blocks_and_nothing_else(
    executor: RhapsodyExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, memory, values = executor._link, executor._shared, executor._values
    assert link
    assert values
    place = Path(values._disk)
    waiting = next(iter(executor.tasks.values()))

    def interrupted(_ids: list[str], _timeout: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(link, "stop_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.shutdown()
    assert isinstance(waiting.exception(0), BlockLost)
    assert not link.is_alive()
    assert not place.exists()
    assert not memory.path or not Path(memory.path).exists()


@pytest.mark.parametrize("sign", [" ", "'", "$", "(", "&"])
def test_a_run_directory_that_a_shell_would_misread_is_refused(queue: Queue, sign: str) -> None:
    """Parsl gives the path of a job's script to a shell as it is: no job would start, and nobody would say so."""
    queue.script_dir = f"/scratch/my{sign}runs/runinfo/000/submit_scripts"
    executor = RhapsodyExecutor(provider=queue, runtimes=[LocalRuntime()])
    executor.run_dir = "."
    with pytest.raises(InvalidTask, match="means something to a shell"):
        executor.start()


@pytest.mark.parametrize("sign", ["#", "~", "!", "[1]", "{x}", "é", ","])
def test_one_that_it_takes_as_it_is_may_be_there(queue: Queue, sign: str, tmp_path: Path) -> None:
    script = tmp_path / f"my{sign}runs" / "job.sh"
    script.parent.mkdir()
    script.write_text("echo ran")
    assert subprocess.check_output(["/bin/sh", "-c", f"bash {script}"]) == b"ran\n"
    queue.script_dir = str(script.parent)
    check_scripts(queue)


@pytest.mark.parametrize(("launcher", "waits"), [(SimpleLauncher(), True), (SingleNodeLauncher(), False)])
def test_the_shell_of_a_job_waits_for_the_pilot_when_it_is_told_to_end(
    launcher: Launcher, waits: bool, tmp_path: Path
) -> None:
    """As `scancel` does: Slurm kills what is left when the shell has ended."""
    note, program = tmp_path / "note", tmp_path / "program"
    program.write_text(f"trap 'sleep 0.5; echo left >> {note}; exit' TERM; echo there >> {note}; sleep 30 & wait")
    executor = RhapsodyExecutor(
        provider=SlurmProvider(launcher=launcher),
        runtimes=[LocalRuntime()],
        launch_cmd=f"bash {program} {{config}} {{block_id}}",
    )
    script = f"{executor._get_launch_command('0')}\ntrue"
    with subprocess.Popen(["/bin/bash", "-c", script], process_group=0) as shell:
        until(note.exists, 10)
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(10)
        assert note.read_text().split() == ["there", "left"][: 1 + waits]
    until(lambda: note.read_text().split() == ["there", "left"], 10)
