"""The recorder of the contract suite complains of each broken promise, and of nothing else."""

import sys
from collections.abc import Callable

import pytest

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.contract.recorder import BrokenPromiseError, Recorder
from testing.contract.subjects import SUBJECTS, subjects

LOST = WorkerLost("here", "why")


def done(*tasks: int) -> list[Result]:
    return [Result(task, RESULT, b"") for task in tasks]


@pytest.fixture
def recorder() -> Recorder:
    """A run 1 with tasks 1, 2, 3, of a runtime that is ready."""
    made = Recorder()
    made.given(1, [1, 2, 3])
    made.state("r", "starting")
    made.state("r", "ready")
    return made


def test_a_life_without_complaint(recorder: Recorder) -> None:
    recorder.at_work(Run(1, TaskSpec()), "h", {"w": 1})
    recorder.done(1, done(1))
    recorder.returned(1, [2])
    recorder.lost(1, LOST)
    recorder.ended(1)
    recorder.at_work(Run(-1, TaskSpec()), "h", {}, print)
    recorder.at_rest(-1)
    for state in ("lost", "starting", "ready"):
        recorder.state("r", state)
    recorder.stopped()
    recorder.check()
    assert [told.how for told in recorder.told.values()] == ["done", "returned", "lost"]
    assert not recorder.has_runs


def test_what_had_not_begun_is_told_with_the_loss(recorder: Recorder) -> None:
    recorder.lost(1, LOST, [2, 3])
    assert [told.how for told in recorder.told.values()] == ["lost", "untouched", "untouched"]


def twice(recorder: Recorder) -> None:
    recorder.done(1, done(1))
    recorder.returned(1, [1])


def after_the_loss(recorder: Recorder) -> None:
    recorder.lost(1, LOST)
    recorder.done(1, done(1))


def after_the_end(recorder: Recorder) -> None:
    recorder.returned(1, [1, 2, 3])
    recorder.ended(1)
    recorder.returned(1, [1])


def within_a_call(recorder: Recorder) -> None:
    with recorder.within("run"):
        recorder.done(1, done(1))


def after_the_stop(recorder: Recorder) -> None:
    recorder.stopped()
    recorder.services([])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (twice, "task 1 is returned, and run 1 does not hold it"),
        (after_the_loss, "no such run, or it is over"),
        (after_the_end, "no such run, or it is over"),
        (within_a_call, "from within run"),
        (after_the_stop, "after the stop"),
        (lambda r: r.done(1, done(4)), "task 4 is done, and run 1 does not hold it"),
        (lambda r: r.done(2, done(1)), "no such run"),
        (lambda r: r.returned(1, []), "about nothing"),
        (lambda r: r.lost(1, LOST, [4]), "did not hold: {4}"),
        (lambda r: r.lost(1, ValueError()), "none of our errors"),
        (lambda r: r.state("r", "failed"), "'failed' after 'ready'"),
        (lambda r: r.state("r", "well"), "'well' after"),
        (lambda r: r.at_work(Run(2, TaskSpec()), "h", {}), "run 2, which there is not"),
        (lambda r: r.at_work(Run(-1, TaskSpec()), "h", {}), "says whom to tell"),
        (lambda r: r.at_rest(1), "was not at work for the runtime itself"),
    ],
)
def test_a_broken_promise_is_told_with_its_place(
    recorder: Recorder, wrong: Callable[[Recorder], None], words: str
) -> None:
    wrong(recorder)
    with pytest.raises(BrokenPromiseError) as caught:
        recorder.check()
    assert words in str(caught.value)
    assert "test_recorder.py" in str(caught.value)
    recorder.check()


def test_a_subject_from_elsewhere_is_put_through_the_suite_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHAPSODY_CONTRACT", f"{__name__}:SUBJECTS")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[subjects.__module__])
    assert subjects() == [*SUBJECTS, SUBJECTS]
