"""Which worker gets which bodies, and what happens to them when one ends; the workers are fakes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.errors import RhapsodyError, WorkerLost
from rhapsody_parsl.runtimes.protocol import Context, Node, Run
from rhapsody_parsl.runtimes.vllm import prompt_workers
from rhapsody_parsl.wire.messages import PROMPT, Result, Task
from testing.nodes import make_context

LOST = WorkerLost("w", "it died")


class FakeWorkers:
    """Remembers what it was told; also the pool."""

    def __init__(self, context: Context, owner: str) -> None:
        self.fed: list[tuple[int, list[int]]] = []
        self.settings: list[PolicyValue] = []
        self.cancelled: list[tuple[int, list[int], bool]] = []
        self.ended: list[int] = []
        self.pool = self

    def feed(self, run: Run, tasks: Sequence[Task], mode: str, env: dict[str, str]) -> None:
        assert mode == "prompt"
        self.fed.append((run.id, [task.id for task in tasks]))
        self.settings.append(run.spec.policy)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        self.cancelled.append((run.id, list(tasks), kill))

    def end(self, run: Run) -> None:
        self.ended.append(run.id)


class Bench:
    """PromptWorkers on fake workers."""

    def __init__(self, workers: int) -> None:
        self.results: list[int] = []
        self.lost: list[int] = []
        node = Node(name="n0", host="here", cores=(0,), real_cores=(0,))
        events: Any = None
        context = make_context(Path("/x"), events, node, python="python")
        self.prompts = prompt_workers.PromptWorkers(context, workers, self._on_results, self._on_lost)
        self.workers: FakeWorkers = self.prompts._workers  # type: ignore[assignment]  # the fake

    def _on_results(self, results: Sequence[Result]) -> None:
        self.results += [result.id for result in results]

    def _on_lost(self, tasks: Sequence[int], error: RhapsodyError) -> None:
        self.lost += tasks

    def put(self, *tasks: int) -> None:
        self.put_in(PolicyValue(), *tasks)

    def put_in(self, policy: PolicyValue, *tasks: int) -> None:
        self.prompts.put([Task(task, b"", b"") for task in tasks], policy)

    def done(self, run: int, *tasks: int, seconds: float = 1e-4) -> None:
        self.prompts.done(run, [Result(task, PROMPT, b"", seconds) for task in tasks])


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_workers, "LocalWorkers", FakeWorkers)


def test_one_at_a_time_until_their_length_is_known_then_many() -> None:
    bench = Bench(2)
    bench.put(*range(100))
    assert bench.workers.fed == [(1, [0]), (2, [1])]
    bench.done(1, 0)
    assert bench.results == [0]
    assert [(run, len(tasks)) for run, tasks in bench.workers.fed[2:]] == [(1, 49), (2, 25)]


def test_long_bodies_do_not_wait_behind_each_other() -> None:
    bench = Bench(1)
    bench.put(1, 2, 3)
    bench.done(1, 1, seconds=2.0)
    assert bench.workers.fed == [(1, [1]), (1, [2])]


def test_bodies_of_different_settings_travel_apart() -> None:
    bench = Bench(1)
    bench.put(1)
    bench.put_in(PolicyValue(env=(("MESH", "fine"),), priority=2), 2, 3)
    bench.put_in(PolicyValue(env=(("MESH", "fine"),), priority=3), 4)
    bench.put_in(PolicyValue(sandbox=True), 5)
    for number in range(1, 6):
        bench.done(1, number)
    assert bench.workers.fed == [(1, [1]), (1, [2, 3, 4]), (1, [5])]
    assert [(policy.env, policy.sandbox) for policy in bench.workers.settings] == [
        ((), False), ((("MESH", "fine"),), False), ((), True)
    ]  # fmt: skip


def test_a_dropped_body_that_waits_is_forgotten() -> None:
    bench = Bench(1)
    bench.put(1, 2)
    bench.prompts.drop(2)
    bench.done(1, 1)
    assert bench.workers.fed == [(1, [1])]
    assert bench.workers.cancelled == []


def make_busy() -> Bench:
    """Return a bench with bodies 2, 3 and 4 at place 1."""
    bench = Bench(1)
    bench.put(1, 2, 3, 4)
    bench.done(1, 1)
    assert bench.workers.fed[-1] == (1, [2, 3, 4])
    return bench


def test_a_dropped_body_that_runs_ends_with_its_worker_and_the_others_go_elsewhere() -> None:
    bench = make_busy()
    bench.prompts.drop(2)
    assert bench.workers.cancelled == [(1, [3, 4], False), (1, [2], True)]
    bench.prompts.returned(1, [3, 4])
    assert bench.workers.fed[-1] == (2, [3, 4])
    bench.prompts.lost(1, LOST)
    assert bench.lost == []
    bench.put(5)
    assert {run for run, _ in bench.workers.fed[2:]} == {2}


def test_a_dropped_body_that_ended_meanwhile_leaves_a_worker_free() -> None:
    bench = make_busy()
    bench.prompts.drop(2)
    bench.done(1, 2)
    bench.prompts.returned(1, [3, 4])
    assert bench.workers.ended == [1]


def test_a_worker_that_dies_loses_what_it_had_but_not_what_never_reached_it() -> None:
    bench = make_busy()
    bench.prompts.lost(1, LOST, untouched=[4])
    assert bench.lost == [2, 3]
    assert bench.workers.fed[-1] == (1, [4])
