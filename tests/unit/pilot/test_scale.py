"""10,000 nodes and 100,000 tasks through the pilot's core; the rates are printed (`pytest -s`), not asserted."""

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.studies.decisions import Block, Load
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.wire.messages import Task
from testing.nodes import make_node, make_nodes, make_spec, make_task
from testing.rates import drive
from testing.simulation import FakeRuntime

NODES, TASKS = 10_000, 100_000


def report(line: str) -> None:
    print(line)  # noqa: T201 - rates are for people


def block(nodes: int) -> Core:
    return Core(Runs(Ledger(make_nodes(nodes, cores=64))), {"local": FakeRuntime()}, "local", {})


def many(spec: TaskSpec, count: int) -> list[Task]:
    return [make_task(number, spec) for number in range(count)]


def test_short_tasks_on_many_nodes() -> None:
    rate = drive(block(NODES), many(make_spec(), TASKS), 0.001)
    report(f"\nshort tasks: {TASKS} on {NODES} nodes, {rate:,.0f} dispatches/s")


def test_whole_node_tasks_on_many_nodes() -> None:
    rate = drive(block(NODES), many(make_spec(cores=64), TASKS // 5), 60.0)
    report(f"\nwhole-node tasks: {TASKS // 5} on {NODES} nodes, {rate:,.0f} dispatches/s")


def test_many_different_specs() -> None:
    tasks = [make_task(number, make_spec(f"app{number % 40}", cores=1 + number % 40)) for number in range(TASKS // 20)]
    rate = drive(block(NODES // 10), tasks, 60.0)
    report(f"\nforty apps of all sizes: {len(tasks)} on {NODES // 10} nodes, {rate:,.0f} dispatches/s")


def test_a_wide_gang_is_given_its_nodes() -> None:
    core = block(NODES)
    core.submit(many(make_spec(), 64), 0.0)
    core.runtime_ready("local", 0.0)
    spec = make_spec(runtime="mpi", num_nodes=NODES)
    gang = Core(Runs(core.ledger), {"mpi": FakeRuntime()}, "mpi", {})
    gang.submit([make_task(0, spec)], 0.0)
    began = time.perf_counter()
    gang.runtime_ready("mpi", 0.0)
    for turn in range(3):
        gang.tick(10.0 + turn)
    report(f"\na gang of {NODES} nodes waiting: {(time.perf_counter() - began) / 3:.2f} s a decision")
    assert gang.queued == 1


def test_what_comes_does_not_look_at_all_runs_for_room_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand runs are at long tasks, and a thousand tasks of the same app come one by one."""
    core, looks, room = block(16), itertools.count(), ActiveRun.room
    drive(core, many(make_spec(), 2048), 0.0001)  # so that they count as short
    core.submit([make_task(number, make_spec()) for number in range(10_000, 11_024)], 1.0)
    core.take()
    for active in core._runs:
        active.recalled = True

    def look(active: ActiveRun, cores: int) -> int:
        next(looks)
        return room(active, cores)

    monkeypatch.setattr(ActiveRun, "room", look)
    for number in range(1000):
        core.submit([make_task(20_000 + number, make_spec())], 1.01)
    assert core.queued == 1000
    assert next(looks) < 100 * 1000


def calls(kind: Callable[[int], dict[str, Any]], count: int) -> float:
    """Return the calls of Python functions that each of so many tasks takes; seconds would be those of the machine."""
    labels = tuple(f"l{number}" for number in range(count))
    nodes = [make_node(f"n{number}", labels=labels) for number in range(4)]
    core = Core(Runs(Ledger(nodes)), {"local": FakeRuntime(), "mpi": FakeRuntime()}, "local", {})
    core.runtime_ready("mpi", 0.0)
    tasks = [make_task(number, make_spec(**kind(number))) for number in range(count)]
    made = itertools.count()
    sys.setprofile(lambda _frame, event, _argument: next(made) if event == "call" else None)
    try:
        drive(core, tasks, 60.0)
    finally:
        sys.setprofile(None)
    return next(made) / count


KINDS: list[Callable[[int], dict[str, Any]]] = [
    lambda n: {"priority": n},
    lambda n: {"priority": -n, "num_nodes": 1 + n % 4} if n % 5 == 0 else {"priority": n},
    lambda n: {"name": f"app{n}", "walltime": 100 + n},
    lambda n: {"near": f"data{n}"},
    lambda n: {"memory": 0.001 + n / 1e7, "cores": 1 + n % 4},
]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_times_as_many_specs_at_once_cost_hardly_more_each(kind: Callable[[int], dict[str, Any]]) -> None:
    """They took a hundred times as long when a decision went over all that wait."""
    few, many = calls(kind, 300), calls(kind, 3000)
    report(f"\n{kind(7)}: {few:.0f} calls a task of 300, {many:.0f} of 3,000")
    assert many < 1.5 * few


@pytest.mark.parametrize("key", ["priority", "walltime", "labels", "name", "memory", "near"])
def test_a_spec_each_costs_three_times_one_for_all_at_most(key: str) -> None:
    def spec(number: int) -> dict[str, Any]:
        odd = {"labels": [f"l{number}"], "name": f"app{number}", "near": f"data{number}", "memory": 0.5 + number / 1e6}
        return {key: odd.get(key, 1 + number)}

    one, each = calls(lambda _: spec(0), 3000), calls(spec, 3000)
    report(f"\na {key} each: {each:.0f} calls a task, one for all: {one:.0f}")
    assert each < 3 * one


def calls_with_gangs(nodes: int) -> float:
    """Return the calls of Python functions for each task of a mixed load for which gangs wait."""
    block, made = Block(Load(nodes, 4, widest=nodes // 2, singles=4 * nodes, load=130)), itertools.count()
    sys.setprofile(lambda _frame, event, _argument: next(made) if event == "call" else None)
    try:
        tasks = block.run()["tasks"]
    finally:
        sys.setprofile(None)
    return next(made) / tasks


def test_ten_times_as_many_nodes_cost_hardly_more_for_each_task_while_gangs_wait() -> None:
    """A decision went over all nodes; a task cost ten times as much."""
    few, many = calls_with_gangs(100), calls_with_gangs(1000)
    report(f"\nmixed load: {few:.0f} calls a task on 100 nodes, {many:.0f} on 1,000")
    assert many < 2 * few
