"""One contract at the protocol, kept by every runtime: driven as the pilot does it, with all that it tells recorded.

What always holds is checked with every test (`testing.contract.recorder`): a task is told once, a run that is over is
told of no more, nothing is told from within a call, nothing after the stop. See CONTRIBUTING for a runtime of your own.
"""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from parsl.app.bash import remote_side_bash_executor

from rhapsody_parsl.errors import LostTask, RhapsodyError, TaskCancelled, WorkerLost
from rhapsody_parsl.hosts.noted import noted
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import RAISED, SharedPayload, Task
from testing import leaks
from testing.contract.recorder import Told
from testing.contract.stage import Stage
from testing.contract.subjects import Subject, subjects
from testing.contract.work import fail, linger, say, shell
from testing.waiting import alive, until_gone

MARKS = {"dragon": pytest.mark.dragon, "mpi-launches": pytest.mark.mpi, "mpi-functions": pytest.mark.mpi}
PARAMS = [pytest.param(each, id=each.id, marks=MARKS.get(each.id, ())) for each in subjects()]
LARGE = 300_000


class Troupe:
    """The stages of one subject: a test that has stopped the runtime leaves none to the next test."""

    def __init__(self, subject: Subject, logs: Path) -> None:
        self.subject, self.logs = subject, logs
        self.stage: Stage | None = None

    def take(self) -> Stage:
        if self.stage is None:
            self.stage = Stage(self.subject, self.logs)
            self.stage.start()
            self.stage.ask(self.stage.task(say, "a"))  # what starts, has started before the first test
        return self.stage

    def close(self) -> None:
        stage, self.stage = self.stage, None
        if stage:
            stage.close()


@pytest.fixture(scope="module", params=PARAMS)
def troupe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troupe]:
    made = Troupe(request.param, tmp_path_factory.mktemp(request.param.id))
    with leaks.watch(), contextlib.closing(made):
        yield made


@pytest.fixture
def stage(troupe: Troupe) -> Iterator[Stage]:
    stage = troupe.take()
    yield stage
    if stage.recorder.has_runs:  # the test failed
        troupe.close()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch each subject instead of each test (in `troupe`): workers come and stay."""


class Lingering:
    """A task that has begun, and those behind it in its run; as a context: it may leave at the end.

    Attributes:
        pid: The process that runs it, the first rank's for a gang.
    """

    def __init__(self, stage: Stage, folder: Path, behind: int = 0, **keys: float) -> None:
        folder.mkdir(exist_ok=True)
        self._stage, self._folder = stage, folder
        self.task = stage.task(linger, str(folder))
        self.behind = [stage.task(say, f"{number}") for number in range(behind)]
        self.run: Run = stage.begin(self.task, *self.behind, **keys)
        stage.until((folder / "begun").exists)
        self.pid = int((folder / "begun").read_text())

    def leave(self) -> None:
        (self._folder / "leave").touch()


def is_well(stage: Stage, tasks: list[Task]) -> bool:
    """Whether tasks had not begun and were said so, or have an answer."""
    return all(stage.told(task).how in ("returned", "untouched") or stage.value(task) for task in tasks)


# --- tasks -------------------------------------------------------------------------------------------------------


def test_a_task_answers(stage: Stage) -> None:
    assert stage.ask(stage.task(say, "anna")) == ["anna"]


def test_tasks_of_a_run_answer_in_order(stage: Stage) -> None:
    tasks = [stage.task(say, f"{number}") for number in range(9)]
    assert stage.ask(*tasks) == [f"{number}" for number in range(9)]
    if not stage.subject.services:
        told = [task for task in stage.recorder.told if task >= tasks[0].id]
        assert told == [task.id for task in tasks]


def test_a_failing_task_is_a_result_and_costs_no_other(stage: Stage) -> None:
    first, bad, last = stage.task(say, "a"), stage.task(fail, "what a pity"), stage.task(say, "b")
    run = stage.begin(first, bad, last)
    stage.over(run)
    assert stage.result(bad).kind == RAISED
    assert b"what a pity" in bytes(stage.result(bad).payload)  # type: ignore[arg-type]  # of an exception
    assert [stage.value(first), stage.value(last)] == ["a", "b"]


def test_a_bash_app(stage: Stage, tmp_path: Path) -> None:
    if not stage.subject.bash:
        pytest.skip("it runs none")
    app = functools.partial(remote_side_bash_executor, shell)
    assert stage.ask(stage.task(app, f"echo $0 > {tmp_path}/note")) == [0]
    assert (tmp_path / "note").read_text().strip()


def test_a_large_result(stage: Stage) -> None:
    task = stage.task(say, "x", LARGE)
    run = stage.begin(task)
    stage.over(run)
    payload = stage.result(task).payload
    assert isinstance(payload, SharedPayload) is stage.subject.by_file
    assert stage.value(task) == "x" * LARGE


# --- runs --------------------------------------------------------------------------------------------------------


def test_runs_are_at_work_side_by_side(stage: Stage, tmp_path: Path) -> None:
    both = [Lingering(stage, tmp_path / name) for name in "ab"]
    for one in both:
        one.leave()
        stage.over(one.run)
        assert stage.value(one.task) == "aha"


def test_a_run_under_way_is_fed(stage: Stage, tmp_path: Path) -> None:
    first, later = Lingering(stage, tmp_path), stage.task(say, "otto")
    stage.feed(first.run, later)
    first.leave()
    stage.over(first.run)
    assert [stage.value(first.task), stage.value(later)] == ["aha", "otto"]


def test_what_has_ended_is_free_for_the_next(stage: Stage) -> None:
    """The processes, too: they are there already."""
    pids: set[int] = set()
    spec = stage.spec()
    for _ in range(3):
        run = stage.begin(stage.task(say, "a"), memory=1.0)
        stage.over(run)
        pids.update(pid for told in stage.recorder.at_work_for(run.id) for pid in told.pids.values())
    if stage.subject.resident and not stage.subject.services:
        assert len(pids) == (spec.resources.num_ranks if spec.comm else 1)


def test_processes_at_work_are_told(stage: Stage, tmp_path: Path) -> None:
    one = Lingering(stage, tmp_path, memory=1.0)
    told = stage.recorder.at_work_for(one.run.id)
    for run in stage.recorder.own_runs:  # a service's, and these note themselves
        told, pids = stage.recorder.at_work_for(run), noted(str(stage.folder), run)
        assert pids
        assert all(map(alive, pids))
    assert {each.host for each in told} == {stage.host}
    assert not told[-1].pids or one.pid in told[-1].pids.values()
    one.leave()
    stage.over(one.run)


# --- taking back -------------------------------------------------------------------------------------------------


def test_what_has_not_begun_comes_back(stage: Stage, tmp_path: Path) -> None:
    one = Lingering(stage, tmp_path, behind=2)
    stage.cancel(one.run, *one.behind)
    if stage.subject.gives_back:
        assert [stage.told(task) for task in one.behind] == [Told("returned")] * 2
    one.leave()
    stage.over(one.run)
    assert stage.value(one.task) == "aha"
    assert is_well(stage, one.behind)


def test_what_has_begun_does_not_come_back_unless_it_is_killed(stage: Stage, tmp_path: Path) -> None:
    one = Lingering(stage, tmp_path, behind=2)
    stage.cancel(one.run, one.task)
    stage.cancel(one.run, one.task, kill=True)
    stage.over(one.run)
    assert isinstance(stage.error(one.task), LostTask | TaskCancelled)
    assert is_well(stage, one.behind)
    until_gone([one.pid])
    assert stage.ask(stage.task(say, "a")) == ["a"]


def test_what_is_over_is_not_cancelled(stage: Stage) -> None:
    """The pilot's word may cross the result's."""
    task = stage.task(say, "a")
    run = stage.begin(task)
    stage.told(task)
    stage.cancel(run, task)
    stage.cancel(run, task, kill=True)
    stage.over(run)
    assert stage.ask(stage.task(say, "b"), stage.task(say, "c")) == ["b", "c"]


# --- losses ------------------------------------------------------------------------------------------------------


def test_a_killed_process_takes_what_it_had_begun_and_no_more(stage: Stage, tmp_path: Path) -> None:
    one = Lingering(stage, tmp_path, behind=2)
    stage.kill(one.pid)
    stage.over(one.run)
    assert isinstance(stage.error(one.task), WorkerLost)
    assert is_well(stage, one.behind)
    assert stage.ask(stage.task(say, "a")) == ["a"]


def test_a_loss_is_the_loss_of_one_run(stage: Stage, tmp_path: Path) -> None:
    one, other = (Lingering(stage, tmp_path / name) for name in "ab")
    stage.kill(one.pid)
    stage.over(one.run)
    other.leave()
    stage.over(other.run)
    if stage.subject.shares_fate:
        assert isinstance(stage.error(other.task), LostTask)
    else:
        assert stage.value(other.task) == "aha"


def test_the_loss_of_all_of_it(stage: Stage, tmp_path: Path) -> None:
    """Requests are asked again; it comes back with the next task, and says so."""
    if not stage.subject.backend:
        pytest.skip("it has workers only, or ranks")
    one = Lingering(stage, tmp_path, behind=2)
    stage.kill_backend()
    if stage.subject.services:
        one.leave()
    stage.over(one.run)
    if stage.subject.services:
        assert stage.value(one.task) == "aha"
        assert [service.state for service in stage.recorder.reports[-1]] == ["ready"]
    else:
        assert isinstance(stage.error(one.task), LostTask)
    assert is_well(stage, one.behind)
    assert stage.ask(stage.task(say, "a")) == ["a"]
    assert stage.recorder.states[-1][0] == "ready"


# --- its whole life ----------------------------------------------------------------------------------------------


def test_it_says_what_it_never_takes(stage: Stage) -> None:
    assert stage.runtime.refuse(stage.spec()) == ""
    if stage.subject.refused:
        assert stage.runtime.refuse(stage.foreign())


def test_a_second_start_changes_nothing(stage: Stage) -> None:
    told = list(stage.recorder.calls)
    stage.start_again()
    assert stage.recorder.calls == told
    assert stage.ask(stage.task(say, "a")) == ["a"]


def test_services_are_told(stage: Stage) -> None:
    if not stage.subject.services:
        pytest.skip("it has none")
    assert {service.name for service in stage.recorder.reports[-1]} == set(stage.subject.services)
    assert [service.state for service in stage.recorder.reports[-1]] == ["ready"] * len(stage.subject.services)


def test_one_that_cannot_work_says_why(troupe: Troupe) -> None:
    subject = troupe.subject
    with Stage(subject, troupe.logs, subject.make_broken) as stage:
        try:
            stage.start()
            task = stage.task(say, "a")
            stage.over(stage.begin(task))
            error = stage.error(task)
        except RhapsodyError as problem:
            error = problem
            assert stage.recorder.states[-1] == ("failed", str(error))
        assert subject.broken in str(error)
        stage.runtime.refuse(stage.spec())


def test_one_that_never_started_stops(troupe: Troupe) -> None:
    Stage(troupe.subject, troupe.logs).close()


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_stop_in_the_middle_of_the_start(troupe: Troupe, seconds: float) -> None:
    with Stage(troupe.subject, troupe.logs) as stage:
        stage.leave_while_starting(seconds)


def test_a_stop_before_its_processes_are_there(troupe: Troupe) -> None:
    with Stage(troupe.subject, troupe.logs) as stage:
        stage.start()
        stage.begin(stage.task(say, "a"))


def test_a_stop_in_the_middle_of_work_leaves_nothing(troupe: Troupe, tmp_path: Path) -> None:
    """The watch over the subject looks for processes, shared memory, files and ports."""
    stage = troupe.take()
    one = Lingering(stage, tmp_path, behind=2)
    stage.stop()
    until_gone([one.pid])
    stage.stop()
    troupe.close()
