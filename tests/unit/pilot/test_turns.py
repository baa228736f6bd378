"""Parents that lend their cores while they wait: in any order of events all finish, and no core is held twice."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.annotations.task_spec import TURN, TaskSpec, encode_spec
from rhapsody_parsl.errors import NeedsItsParent, RhapsodyError, WorkerLost
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.family import FIRST
from rhapsody_parsl.pilot.instructions import CancelTasks, Feed, Instruction
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.router import Refuses
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.pilot.turns import Turns
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from rhapsody_parsl.wire.turn_messages import TakeCores
from testing.nodes import make_node, make_spec
from testing.simulation import FakeRuntime

CORES = 2


class Block:
    """A block of two cores whose parents submit children and lend their cores until these have ended.

    Attributes:
        at_work: Tasks whose process computes, with its run.
        turned: Tasks that have had their turn.
        parents: What each parent still waits for.
    """

    def __init__(
        self, parents: int, children: int, rounds: int, *, cores: int = 1, seed: int = 0, seconds: float = 1.0
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - the same again by its seed
        self.seconds, self.now, self.ended = seconds, 0.0, list[int]()
        self.turns = Turns(self)  # type: ignore[arg-type]  # it is told of turns only
        runtimes: dict[str, Refuses] = {"local": FakeRuntime(), TURN: self.turns}
        self.core = Core(Runs(Ledger([make_node("n0", CORES, labels=("n0",))])), runtimes, "local", {})
        self.core.runtime_ready("local", 0.0)
        self.turns.join(self.core)
        self.spec, self.child = make_spec(cores=cores, lend=True), make_spec("child")
        self.children, self.rounds = children, dict.fromkeys(range(1, parents + 1), rounds)
        self.at_work: dict[int, int] = {}
        self.waiting: dict[int, set[int]] = {}
        self.runs: dict[int, Run] = {}
        self.core.submit([Task(number, encode_spec(self.spec), b"") for number in self.rounds], 0.0)
        self.act()

    def done(self, run: int, results: list[Result]) -> None:
        self.core.done(run, results, self.now)
        self.act()

    def returned(self, run: int, tasks: list[int]) -> None:
        self.core.returned(run, tasks, self.now)
        self.act()

    def send(self, message: ChildAnswer) -> None:
        """A parent has had its turn: it submits again, or ends."""
        self.at_work[message.order] = self.parent_runs[message.order]

    @property
    def parent_runs(self) -> dict[int, int]:
        return {task: run for run, active in self.runs.items() for task in self.tasks.get(run, ())}

    tasks: dict[int, list[int]]

    def act(self) -> None:
        while instructions := self.core.take():
            for instruction in instructions:
                self.perform(instruction)
        if self.core.family.orphans:
            self.core.end_orphans(self.now)
            self.act()
        held = sum(len(lease.shares[0].cores) for lease in self.core.ledger.leases)
        assert held <= CORES
        asked = [self.core.nesting._home[task].lane.spec.resources.cores for task in self.at_work]  # type: ignore[union-attr]  # it is with a run
        assert sum(asked) <= CORES, "who computes has a core"

    def perform(self, instruction: Instruction) -> None:
        match instruction:
            case Feed(runtime="turn", run=run, tasks=tasks):
                self.turns.run(run, tasks)
            case CancelTasks(runtime="turn", run=run, tasks=ids, kill=kill):
                self.turns.cancel(run, ids, kill)
            case Feed(run=run, tasks=tasks):
                self.runs[run.id] = run
                self.tasks = {**getattr(self, "tasks", {}), run.id: [task.id for task in tasks]}
                self.at_work.update({task.id: run.id for task in tasks})
            case _:
                pass

    def step(self) -> None:
        """Something happens to one task that computes."""
        self.now += 1.0
        task = self.random.choice(sorted(self.at_work))
        if task >= FIRST or not self.rounds[task]:
            self.end(task)
        else:
            self.submit_children(task)
        self.core.tick(self.now)
        self.act()

    def submit_children(self, parent: int) -> None:
        self.rounds[parent] -= 1
        numbers = range(self.children)
        before = set(self.core.family.parents.get(parent, ()))
        tasks = [Task(number, encode_spec(self.child), b"") for number in numbers]
        del self.at_work[parent]
        self.core.adopt(parent, parent, tasks, keep=False, now=self.now)
        self.waiting[parent] = set(self.core.family.parents.get(parent, ())) - before
        self.turns.lend(parent)
        self.act()

    def end(self, task: int) -> None:
        run = self.at_work.pop(task)
        self.ended.append(task)
        parent = next((parent for parent, waits in self.waiting.items() if task in waits), 0)
        self.core.done(run, [Result(task, RESULT, b"", self.seconds)], self.now)
        self.core.take_results()
        self.act()
        if parent:
            self.waiting[parent].discard(task)
            if not self.waiting[parent]:
                del self.waiting[parent]
                self.turns.take(self, TakeCores(parent, parent))  # type: ignore[arg-type]  # it takes the answer

    async def run(self) -> None:
        for _ in range(2_000):
            await asyncio.sleep(0)
            if not self.at_work:
                break
            self.step()
        await asyncio.sleep(0)
        self.act()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(0, 1_000_000))
def test_all_finish_and_no_core_is_held_twice(parents: int, children: int, rounds: int, seed: int) -> None:
    block = Block(parents, children, rounds, seed=seed)
    asyncio.run(block.run())
    assert len(block.ended) == parents * (1 + rounds * children)
    assert block.core.idle
    assert not block.core.ledger.leases
    assert not block.turns._taken
    assert not block.turns._at_work


@pytest.mark.parametrize("when", ["it waits for its turn", "it has had its turn", "its turn comes"])
def test_a_turn_ends_with_a_parent_that_is_lost(when: str) -> None:
    asyncio.run(lost(when))


async def lost(when: str) -> None:
    block = Block(1, 1, 1)
    block.submit_children(1)
    block.core.submit([Task(number, encode_spec(make_spec()), b"") for number in (20, 21)], 0.0)
    block.act()
    (child,) = [task for task in block.at_work if task >= FIRST]
    block.end(child)
    if when == "it has had its turn":
        block.end(20)
        assert 1 in block.at_work
    run = block.parent_runs[1]
    block.at_work.pop(1, None)
    if when == "its turn comes":
        block.core.done(block.parent_runs[20], [Result(20, RESULT, b"", 1.0)], 0.0)
        del block.at_work[20]
    block.core.lost(run, WorkerLost("here", "killed"), (), 0.0)
    block.act()
    await asyncio.sleep(0)
    block.act()
    while block.at_work:
        block.end(next(iter(block.at_work)))
    assert block.core.idle
    assert not block.core.ledger.leases
    assert not block.turns._at_work
    assert not block.turns._taken


def test_a_run_that_has_lent_its_cores_gets_no_further_task() -> None:
    block = Block(1, 1, 1, seconds=0.001)
    asyncio.run(block.run())
    block.core.submit([Task(50, encode_spec(block.spec), b"")], block.now)
    assert sum(len(lease.shares[0].cores) for lease in block.core.ledger.leases) == 1


def test_four_lending_parents_fill_no_block_of_two_cores() -> None:
    block = Block(4, 1, 1, cores=2)
    asyncio.run(block.run())
    assert len(block.ended) == 8


def test_who_does_not_lend_keeps_its_cores() -> None:
    block = Block(1, 1, 1)
    block.core.submit([Task(9, encode_spec(make_spec()), b"")], 0.0)
    block.act()
    block.turns.lend(9)
    assert sum(len(lease.shares[0].cores) for lease in block.core.ledger.leases) == 2
    asyncio.run(answered(block))


async def answered(block: Block) -> None:
    told: list[ChildAnswer] = []
    block.send = told.append  # type: ignore[method-assign, assignment]  # to hear it
    block.turns.take(block, TakeCores(3, 9))  # type: ignore[arg-type]  # it takes the answer
    assert told == [ChildAnswer(3)], "at once"


@pytest.mark.parametrize("lend", [True, False])
def test_what_a_lending_parent_holds_is_no_reason_to_refuse_its_child(lend: bool) -> None:
    block = Block(0, 0, 0)
    block.core.submit([Task(1, encode_spec(make_spec(cores=2, lend=lend)), b"")], 0.0)
    block.act()
    refusal: type[RhapsodyError] | None = None
    try:
        block.core.nesting.admit(1, encode_spec(make_spec(cores=2)), False, 0.0)
    except NeedsItsParent:
        refusal = NeedsItsParent
    assert refusal is (None if lend else NeedsItsParent)


def test_only_turns_are_taken() -> None:
    assert Block(0, 0, 0).turns.refuse(make_spec())
    assert not Block(0, 0, 0).turns.refuse(TaskSpec(runtime=TURN))
