import itertools
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor, TracedTask
from rhapsody_parsl.errors import InvalidTask, RhapsodyError
from rhapsody_parsl.executors.admission import InvalidSpecification
from testing import policies
from tests.unit.scheduling.test_swf import generate


def executor(**more: Any) -> RhapsodyExecutor:
    usual: dict[str, Any] = {"runtimes": [LocalRuntime(), MPIRuntime()], "declared_nodes": 2, "cores_per_node": 4}
    return RhapsodyExecutor(**usual | more)


def test_one_task_follows_the_other() -> None:
    trace = [TracedTask(seconds=10, keys={"cores": 4}, name=f"a{number}") for number in range(3)]
    forecast = executor(declared_nodes=1).simulate(trace)
    assert [(task.name, task.started, task.ended, task.wait) for task in forecast.tasks] == [
        ("a0", 0, 10, 0), ("a1", 10, 20, 10), ("a2", 20, 30, 20),
    ]  # fmt: skip
    assert (forecast.utilisation, forecast.seconds, forecast.waits.mean, forecast.waits.max) == (1.0, 30, 10, 20)
    assert {task.nodes for task in forecast.tasks} == {("node0",)}


def test_the_order_may_be_another_and_the_executors_is_the_default() -> None:
    trace = [TracedTask(seconds=100, name="much", keys={"cores": 2, "walltime": 100}) for _ in range(20)]
    trace += [TracedTask(seconds=5, submitted=1, name="little", keys={"walltime": 5})]
    waits = {
        "fifo": executor().simulate(trace),
        "shortest": executor(scheduling=policies.Shortest()).simulate(trace),
        "asked": executor().simulate(trace, scheduling=policies.Shortest()),
    }
    last = {name: forecast.tasks[-1].wait for name, forecast in waits.items()}
    assert last["fifo"] > 400.0
    assert last["shortest"] == last["asked"] < 110.0


@pytest.mark.parametrize("scheduling", ["fifo", "fair", "easy"])
def test_a_trace_of_the_archives_format_is_replayed(tmp_path: Path, scheduling: str) -> None:
    path = generate(tmp_path / "small.swf", 300)
    forecast = executor().simulate(path, nodes=8, cores_per_node=8, scheduling=scheduling)
    assert len(forecast.tasks) == 300
    assert all(task.started >= task.submitted for task in forecast.tasks)
    assert forecast.utilisation > 0.6
    edges = sorted(itertools.chain.from_iterable(((t.started, t.cores), (t.ended, -t.cores)) for t in forecast.tasks))
    held = list(itertools.accumulate(cores for _, cores in edges))
    assert max(held) <= 64
    assert held[-1] == 0


def test_nothing_is_remembered_from_one_to_the_next() -> None:
    one, trace = executor(), [TracedTask(seconds=s, keys={"cores": c}) for s in (1, 7, 30) for c in (1, 3, 4)]
    assert one.simulate(trace) == one.simulate(trace)


@pytest.mark.parametrize(("trace", "error", "says"), [
    ([TracedTask(seconds=1, keys={"core": 1})], InvalidSpecification, "cores"),
    ([TracedTask(seconds=1, keys={"cores": 9})], RhapsodyError, "4 cores"),
    ([{"seconds": 1}], InvalidTask, "TracedTask"), (7, InvalidTask, "a list of tasks is needed"),
    ("/nowhere/a.swf", InvalidTask, "cannot be read"),
])  # fmt: skip
def test_what_could_not_run_is_refused(trace: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        executor().simulate(trace)


@pytest.mark.parametrize("block", [
    {"nodes": 0}, {"nodes": "2"}, {"cores_per_node": -1}, {"mem_per_node": "much"}, {"gpus_per_node": -1},
])  # fmt: skip
def test_a_block_that_cannot_be_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=rf"simulate\({next(iter(block))}\)"):
        executor().simulate([], **block)


def test_the_task_that_could_not_run_is_named_and_what_to_do_about_it(tmp_path: Path) -> None:
    path = tmp_path / "a.swf"
    jobs = [f"{n} 0 -1 60 {wide} -1 -1 {wide} 120 -1 1 7 1 1 1 -1 -1 -1\n" for n, wide in enumerate((8, 4, 64))]
    path.write_text("".join(jobs))
    with pytest.raises(InvalidTask, match=r"task 3 of the trace, 'user7'.*64 ranks.*a larger block \(nodes=\.\.\.\)"):
        executor().simulate(path)


def test_a_policy_that_fails_is_named_and_not_the_size_of_the_block() -> None:
    with pytest.raises(InvalidTask, match=r"scheduling='Faulty'.*ZeroDivisionError.*Correct the policy"):
        executor().simulate([TracedTask(seconds=1, name="bad")], scheduling=policies.Faulty())


def test_what_was_given_to_a_worker_is_taken_back_when_the_task_before_it_takes_long() -> None:
    """A hundred short tasks have told the core that a worker may have several at once."""
    short = [TracedTask(seconds=0.001) for _ in range(100)]
    later = [TracedTask(seconds=seconds, submitted=10.0) for seconds in (100.0, *[0.001] * 200)]
    forecast = executor(declared_nodes=1).simulate(short + later)
    assert forecast.waits.max < 1.0
    assert forecast.utilisation <= 1.0


def test_a_task_ends_with_its_walltime() -> None:
    first, second = executor(declared_nodes=1).simulate([
        TracedTask(seconds=100, keys={"cores": 4, "walltime": 10}), TracedTask(seconds=1, keys={"cores": 4}),
    ]).tasks  # fmt: skip
    assert (first.ended, second.started) == (10, 10)


def test_who_knows_nothing_of_the_nodes_is_told_what_to_say() -> None:
    with pytest.raises(InvalidTask, match="cores_per_node"):
        executor(cores_per_node=None).simulate([])
    assert executor(cores_per_node=None).simulate([], cores_per_node=2).tasks == ()


def test_an_order_that_cannot_travel_is_refused_when_the_executor_is_made() -> None:
    with pytest.raises(InvalidTask, match="it cannot be pickled"):
        executor(scheduling=policies.Open())
