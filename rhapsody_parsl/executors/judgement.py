"""Whether ended blocks are the end of the executor, and how many are started for tasks that wait: pure functions."""

from collections.abc import Collection, Mapping

from parsl.jobs.states import JobState, JobStatus

__all__ = ("FAILURES_IN_A_ROW", "since_work", "to_start")

FAILURES_IN_A_ROW = 3
"""Once a block has connected, as many must fail in a row, with no task done by any of them, to end the executor."""

_FAILED = (JobState.FAILED, JobState.MISSING)
_STOPPED = (JobState.CANCELLED, JobState.SCALED_IN)


def since_work(
    status: Mapping[str, JobStatus], connected: Collection[str], worked: Collection[str]
) -> dict[str, JobStatus]:
    """Return the jobs by which Parsl's `simple_error_handler` is to judge the executor.

    It counts a block that worked for hours and was then lost as one that never started. So what came before the last
    block that worked is forgiven, and the first failures after it too. Until a block connects all jobs count.

    Args:
        status: Of all blocks, by number.
        connected: Blocks whose pilot has ever said hello.
        worked: Blocks that are gone and have done a task.
    """
    if not connected:
        return dict(status)
    last = _last(worked)
    newer = {id_: job for id_, job in status.items() if int(id_) > last or not job.terminal}
    return newer if _failures(newer) >= FAILURES_IN_A_ROW else {}


def to_start(
    status: Mapping[str, JobStatus],
    lost: Collection[str],
    worked: Collection[str],
    judged: Collection[str],
    *,
    wanted: int,
    first: int = 1,
) -> int:
    """Return how many blocks to start where none is there or pending and tasks wait: no strategy need do it then.

    What somebody stopped, by cancelling or scaling in, is for whoever did so or for Parsl's strategy to start again. So
    are blocks that end in a row without having done anything: they would follow each other for ever.

    Args:
        status: Of all blocks, by number.
        lost: Blocks that ended without a goodbye.
        worked: Blocks that are gone and have done a task.
        judged: What `since_work` returned: when that is not empty the failures are too many.
        wanted: Blocks that the tasks which wait can use.
        first: Blocks started before any task came; it says nothing of these that they had nothing to do.
    """
    if judged or not all(job.terminal for job in status.values()):
        return 0
    newest = max(map(int, status), default=-1)
    if newest - max(_last(worked), first - 1) >= FAILURES_IN_A_ROW:
        return 0
    stopped = newest >= 0 and status[str(newest)].state in _STOPPED and str(newest) not in lost
    return 0 if stopped else wanted


def _last(worked: Collection[str]) -> int:
    return max(map(int, worked), default=-1)


def _failures(status: Mapping[str, JobStatus]) -> int:
    return sum(job.state in _FAILED for job in status.values())
