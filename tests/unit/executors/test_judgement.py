import pytest
from parsl.jobs.states import JobState, JobStatus

from rhapsody_parsl.executors.judgement import since_work, to_start

STATES = {"r": JobState.RUNNING, "p": JobState.PENDING, "f": JobState.FAILED, "m": JobState.MISSING,
          "c": JobState.COMPLETED, "x": JobState.CANCELLED, "t": JobState.TIMEOUT, "s": JobState.SCALED_IN}  # fmt: skip


def jobs(states: str) -> dict[str, JobStatus]:
    """Return the status of blocks 0, 1, ...: a letter each."""
    return {str(number): JobStatus(STATES[letter]) for number, letter in enumerate(states)}


@pytest.mark.parametrize(("states", "connected", "worked", "judged"), [
    ("m", "", "", "0"),  # nothing has ever connected: Parsl's rule
    ("mm", "", "", "01"),
    ("f", "0", "0", ""),  # the only block, after it had worked
    ("f", "0", "", ""),  # the same, idle
    ("fmm", "0", "0", ""),
    ("fmmm", "0", "0", "123"),  # three starts in a row that failed
    ("fff", "012", "", "012"),  # three that connected and did nothing
    ("fmmfm", "03", "03", ""),  # one between them worked
    ("rmmm", "0", "", "0123"),  # one that lives is among those judged, so that not all have failed
    ("rmmfmmm", "03", "3", "0456"),
    ("fmmmp", "0", "0", "1234"),
])  # fmt: skip
def test_failures_count_since_the_last_block_that_worked(states: str, connected: str, worked: str, judged: str) -> None:
    assert "".join(since_work(jobs(states), list(connected), set(worked))) == judged


@pytest.mark.parametrize(("states", "lost", "worked", "count"), [
    ("", "", "", 2),  # none at first, and tasks came
    ("f", "0", "", 2),
    ("c", "0", "", 2),  # a batch system that calls it completed
    ("x", "0", "", 2),  # it hung, and we cancelled it
    ("f", "", "", 2),
    ("fm", "0", "", 2),  # the one in its place did not start
    ("c", "", "0", 2),  # drained
    ("t", "", "", 2),  # its walltime was over
    ("x", "", "0", 0),  # cancelled by the user
    ("s", "", "0", 0),
    ("fs", "0", "", 0),
    ("fp", "0", "", 0),  # one is on its way
    ("rf", "1", "", 0),
    ("ccc", "", "", 2),
    ("cccc", "", "", 0),  # they end before they can do anything
    ("ccc", "", "0", 2),
    ("cccc", "", "0", 0),
    ("cccc", "", "3", 2),
])  # fmt: skip
def test_a_block_is_started_where_none_is_left(states: str, lost: str, worked: str, count: int) -> None:
    assert to_start(jobs(states), set(lost), set(worked), {}, wanted=2) == count
    assert to_start(jobs(states), set(lost), set(worked), {"0": JobStatus(JobState.FAILED)}, wanted=2) == 0


def test_the_first_blocks_may_have_had_nothing_to_do() -> None:
    assert to_start(jobs("ccccc"), (), (), {}, wanted=1, first=5) == 1
    assert to_start(jobs("cccccccc"), (), (), {}, wanted=1, first=5) == 0
