"""Whether ended blocks are the end of the executor, and how many are started in place of lost ones: pure functions."""

from collections.abc import Collection, Mapping

from parsl.jobs.states import JobState, JobStatus

__all__ = ("FAILURES_IN_A_ROW", "since_work", "to_replace")

FAILURES_IN_A_ROW = 3
"""Once a block has connected, as many must fail in a row, with no task done by any of them, to end the executor."""

_FAILED = (JobState.FAILED, JobState.MISSING)


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
    last = max(map(int, worked), default=-1)
    newer = {id_: job for id_, job in status.items() if int(id_) > last or not job.terminal}
    return newer if _failures(newer) >= FAILURES_IN_A_ROW else {}


def to_replace(status: Mapping[str, JobStatus], lost: Collection[str], judged: Collection[str], wanted: int) -> int:
    """Return how many blocks to start because the last one was lost; none while another is there or pending.

    A block that ended as planned (walltime, drain, scaled in, cancelled) is for Parsl's strategy to follow.

    Args:
        status: Of all blocks, by number.
        lost: Blocks that ended without a goodbye.
        judged: What `since_work` returned: when that is not empty the failures are too many.
        wanted: Blocks that the tasks which wait can use.
    """
    if judged or not status or not all(job.terminal for job in status.values()):
        return 0
    newest = max(status, key=int)
    return wanted if newest in lost or status[newest].state in _FAILED else 0


def _failures(status: Mapping[str, JobStatus]) -> int:
    return sum(job.state in _FAILED for job in status.values())
