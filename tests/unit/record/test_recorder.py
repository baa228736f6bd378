from pathlib import Path
from typing import Any

from rhapsody_parsl.errors import BlockLost, WorkerLost
from rhapsody_parsl.record.reading import read
from rhapsody_parsl.record.recorder import Recorder
from rhapsody_parsl.wire.leases import LeaseRecord, Share
from rhapsody_parsl.wire.messages import RAISED, Result, Task, failed
from rhapsody_parsl.wire.reports import BlockReport, ServiceReport, TaskCounts
from rhapsody_parsl.worker.call import raised
from testing.nodes import make_spec, make_task
from testing.runs import BEGAN, CLOCKS, MadeUp


def lease(number: int, ended: float = 0.5) -> LeaseRecord:
    return LeaseRecord(number, "local", "app", (Share("n0", (0, 1)),), number + 0.25, ended, 3)


def test_a_task_is_told_of_with_all_its_times_and_what_it_held(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(7, 3.0, 2.0, shares=(Share("n0", (1, 2), (0,)),), waited="gpus", name="train")
    made.recorder.close()
    (task,) = read(tmp_path).tasks
    assert (task.task, task.app, task.runtime, task.block, task.outcome) == (7, "train", "local", "0", "done")
    moments = (task.submitted, task.accepted, task.placed, task.started, task.ended)
    assert [moment - BEGAN for moment in moments] == [2.5, 2.75, 3.0, 3.0, 5.0]
    assert (task.waited_for, task.tries, task.waited, task.seconds) == ("gpus", 1, 0.5, 2.0)
    assert task.shares == (Share("n0", (1, 2), (0,)),)


def test_how_tasks_end_is_told_in_words(tmp_path: Path) -> None:
    def raises(task: Task) -> Result:
        made = raised(task.id, ValueError("too hot"))
        assert made.kind == RAISED
        return made

    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 1.0, 1.0, make=raises)
    made.ran(2, 2.0, 1.0, make=lambda task: failed(task.id, WorkerLost("worker 3", "signal 9")))
    made.recorder.gone("0", make_task(3, make_spec()), "lost", BlockLost("0", "it was silent"))
    made.recorder.gone("", make_task(4, make_spec()), "cancelled")
    made.recorder.close()
    told = [(task.outcome, task.failure, task.words[:12]) for task in read(tmp_path).tasks]
    assert told == [
        ("raised", "ValueError", "too hot"),
        ("lost", "WorkerLost", str(WorkerLost("worker 3", "signal 9"))[:12]),
        ("lost", "BlockLost", str(BlockLost("0", "it was silent"))[:12]),
        ("cancelled", "", ""),
    ]


def test_a_task_that_goes_to_another_block_has_one_try_more(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.recorder.again(1)
    made.ran(1, 1.0, 1.0)
    made.ran(2, 1.0, 1.0)
    made.recorder.close()
    assert [task.tries for task in read(tmp_path).tasks] == [2, 1]


def test_a_run_that_was_killed_tells_what_lasted_and_is_not_complete(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    out = lease(9, 0.0)
    made.at(60.0).recorder.report("0", BlockReport(tasks=TaskCounts(queued=5), waits={"cores": 5}))
    made.at(70.0).recorder.report("0", BlockReport())
    for seconds in (60.0, 70.0):
        made.at(seconds).recorder.look("0", [out], [])
    made.recorder.flush()
    made.recorder.leases()
    assert made.recorder._journal is not None
    made.recorder._journal.settle(10)
    run = read(tmp_path)
    made.recorder.close()
    assert (run.complete, run.blocks[0].leases) == (False, [out])
    assert [(sample.queued, sample.waits) for sample in run.samples] == [(5, {"cores": 5}), (0, {})]
    assert read(tmp_path).complete


def test_a_block_is_sampled_every_two_seconds_and_a_service_told_of_when_it_changes(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    facts: dict[str, Any] = {
        "replicas": 1, "cores": 1, "gpus": 0.0, "node": "n0", "url": "", "model": "m", "since": 0.0, "detail": "",
    }  # fmt: skip
    for half in range(40):
        ready = half > 20
        service = ServiceReport(name="assistant", state="ready" if ready else "starting", ready=int(ready), **facts)
        made.at(half / 2).recorder.report("0", BlockReport(services=(service,)))
    made.recorder.close()
    run = read(tmp_path)
    assert len(run.samples) == 10
    assert [(moment.name, moment.state, moment.ready) for moment in run.services] == [
        ("assistant", "starting", 0), ("assistant", "ready", 1),
    ]  # fmt: skip


def test_specs_and_failures_in_numbers_leave_no_pile(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for number in range(4500):
        made.recorder.gone("0", make_task(number, make_spec(walltime=number + 1)), "lost", RuntimeError(str(number)))
    assert len(made.recorder._specs) <= 4000
    assert len(made.recorder._failures._numbers) <= 1000
    made.recorder.close()
    assert [task.words for task in read(tmp_path).tasks] == [str(number) for number in range(4500)]


def test_the_newest_leases_come_from_memory_and_all_from_the_file(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for start in range(0, 20_000, 100):
        made.recorder.ended("0", (), [lease(number) for number in range(start, start + 100)], CLOCKS)
    assert [record.lease for _, record in made.recorder.leases(50)] == list(range(19_950, 20_000))
    assert [record.lease for _, record in made.recorder.leases()] == list(range(20_000))
    assert len(made.recorder._newest) < 9000
    made.recorder.close()


def test_without_a_file_the_newest_leases_are_there_and_nothing_is_kept_of_tasks() -> None:
    recorder = Recorder()
    recorder.submitted(1)
    recorder.gone("0", make_task(1, make_spec()), "cancelled")
    for number in range(20_000):
        recorder.ended("0", (), [lease(number)], CLOCKS)
    told = [record.lease for _, record in recorder.leases()]
    assert told == list(range(20_000 - len(told), 20_000))
    assert (len(told), recorder._entries, recorder._submitted, recorder.on) == (8192, [], {}, False)
    recorder.close()
