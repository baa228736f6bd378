from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rhapsody_parsl.annotations.reruns import MOST_RERUNS
from rhapsody_parsl.errors import BlockLost, WalltimeExceeded, WorkerLost
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import Cut, Discard, Ended, Failed, Give, Instruction, Joined, Left, Send
from rhapsody_parsl.wire.messages import (
    RESULT,
    VERSION,
    Cancel,
    Goodbye,
    Hello,
    Result,
    Results,
    Returned,
    Stop,
    failed,
)
from rhapsody_parsl.wire.totals import Tally, Totals
from testing.nodes import make_inventory, make_spec, make_task

PLAIN, RERUN, LARGE = make_spec(), make_spec(on_loss="rerun"), make_spec(cores=4)


def hello(number: str, cores: int = 2, **changed: Any) -> Hello:
    return Hello(VERSION, number, "1", make_inventory({"name": f"n{number}", "cores": cores}, **changed))


def joined(dispatcher: Dispatcher, peer: str = "0/a", cores: int = 2, now: float = 0.0) -> Block:
    block = dispatcher.heard(peer, True, now)
    assert block is not None
    dispatcher.receive(block, hello(block.id, cores))
    dispatcher.give_out()
    return block


def taken(dispatcher: Dispatcher, *kinds: type) -> list[Instruction]:
    return [instruction for instruction in dispatcher.take() if isinstance(instruction, kinds)]


def given(dispatcher: Dispatcher) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for instruction in dispatcher.take():
        if isinstance(instruction, Give):
            found.setdefault(instruction.block.id, []).extend(task.id for task in instruction.tasks)
    return found


def test_tasks_wait_for_a_block_and_go_to_it_in_order_and_in_batches() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    for number in range(1_100):
        dispatcher.submit(make_task(number, PLAIN))
    dispatcher.give_out()
    assert dispatcher.take() == []
    joined(dispatcher)
    batches = [instruction.tasks for instruction in dispatcher.take() if isinstance(instruction, Give)]
    assert list(map(len, batches)) == [512, 512, 76]
    assert [task.id for batch in batches for task in batch] == list(range(1_100))


def test_one_that_fits_no_block_holds_nobody_up() -> None:
    dispatcher = Dispatcher(Blocks(several=True), 120.0)
    joined(dispatcher, cores=2)
    for number, spec in enumerate((LARGE, PLAIN, LARGE, PLAIN)):
        dispatcher.submit(make_task(number, spec))
    dispatcher.give_out()
    assert given(dispatcher) == {"0": [1, 3]}
    joined(dispatcher, "1/a", cores=4)
    assert given(dispatcher) == {"1": [0, 2]}


def test_what_a_block_returns_is_first_again() -> None:
    dispatcher = Dispatcher(Blocks(several=True), 120.0)
    block = joined(dispatcher)
    for number in range(4):
        dispatcher.submit(make_task(number, PLAIN))
    dispatcher.give_out()
    block.closing = True
    dispatcher.submit(make_task(4, PLAIN))
    dispatcher.receive(block, Returned(0, [1, 3]))
    dispatcher.take()
    joined(dispatcher, "1/a")
    assert given(dispatcher) == {"1": [1, 3, 4]}


def test_a_goodbye_tells_what_has_begun() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    block = joined(dispatcher)
    for number, spec in enumerate((PLAIN, RERUN, PLAIN)):
        dispatcher.submit(make_task(number, spec))
    dispatcher.give_out()
    dispatcher.take()
    dispatcher.receive(block, Goodbye("the job is over", [0, 1]))
    failed = taken(dispatcher, Failed)
    assert [instruction.task for instruction in failed if isinstance(instruction, Failed)] == [0]
    joined(dispatcher, "1/a")
    assert given(dispatcher) == {"1": [1, 2]}


def test_silence_is_a_loss_and_the_pilot_is_not_heard_again() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 10.0)
    joined(dispatcher)
    dispatcher.submit(make_task(0, PLAIN))
    dispatcher.give_out()
    dispatcher.look(10.0)
    assert taken(dispatcher, Left) == []
    dispatcher.look(10.1)
    left, discarded, failed = taken(dispatcher, Left, Discard, Failed)
    assert isinstance(left, Left)
    assert left.reason == "its pilot was silent for 10 s"
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, BlockLost)
    assert isinstance(discarded, Discard)
    assert dispatcher.heard("0/a", True, 11.0) is None
    assert dispatcher.heard("0/b", True, 11.0) is not None


def test_a_number_stays_with_the_first_who_took_it_until_that_is_cut() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    first = joined(dispatcher)
    dispatcher.take()
    assert dispatcher.heard("0/b", False, 1.0) is None
    assert [type(instruction).__name__ for instruction in dispatcher.take()] == ["Stranger"]
    dispatcher.cut(first)
    dispatcher.cut(first)
    assert taken(dispatcher, Cut) == [Cut(first)]
    second = dispatcher.heard("0/b", False, 2.0)
    assert second is not None
    assert second is not first
    assert [(left.block, left.reason) for left in dispatcher.take() if isinstance(left, Left)] == [
        (first, "its pilot was started again")
    ]


def test_a_block_of_another_python_is_told_to_leave() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    dispatcher.submit(make_task(0, PLAIN))
    block = dispatcher.heard("0/a", True, 0.0)
    assert block is not None
    dispatcher.receive(block, hello("0", python="2.7.18"))
    dispatcher.give_out()
    assert dispatcher.take() == [Send(block, Stop(False))]
    assert "2.7.18" in dispatcher.blocks.refused["0"]


def test_a_cancelled_task_is_taken_from_where_it_is() -> None:
    dispatcher = Dispatcher(Blocks(several=True), 120.0)
    block = joined(dispatcher)
    for number, spec in enumerate((PLAIN, LARGE)):
        dispatcher.submit(make_task(number, spec))
    dispatcher.give_out()
    dispatcher.take()
    for number in (0, 1, 7):
        dispatcher.cancel(number, 0.0)
    assert taken(dispatcher, Send) == [Send(block, Cancel([0]))]
    dispatcher.receive(block, Results([Result(0, RESULT, b"")]))
    assert [ended.results for ended in dispatcher.take() if isinstance(ended, Ended)] == [[]]
    joined(dispatcher, "1/a", cores=4)
    assert given(dispatcher) == {}


def test_tasks_move_with_their_payload() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    block = joined(dispatcher)
    dispatcher.submit(make_task(0, PLAIN))
    dispatcher.give_out()
    elsewhere = make_task(0, RERUN)
    dispatcher.moved(block, elsewhere)
    dispatcher.take()
    dispatcher.lose("0", "its job ended", "")
    joined(dispatcher, "1/a")
    assert [give.tasks for give in dispatcher.take() if isinstance(give, Give)] == [[elsewhere]]


def test_totals_outlive_their_block_and_each_task_counts_once() -> None:
    dispatcher = Dispatcher(Blocks(several=True, tally=Tally("local")), 30.0)
    block = joined(dispatcher)
    for number in range(6):
        dispatcher.submit(make_task(number, RERUN if number == 4 else PLAIN))
    dispatcher.submit(make_task(6, make_spec(service="llm")))
    dispatcher.give_out()
    dispatcher.receive(block, Results([Result(0, RESULT, b""), failed(1, WorkerLost("w", "signal 9"))]))
    dispatcher.receive(block, Results([failed(2, WalltimeExceeded(1.0)), Result(6, RESULT, b"")]))
    dispatcher.cancel(3, 1.0)
    dispatcher.receive(block, Results([Result(3, RESULT, b"")]))  # it was too late to cancel it, and nobody knows
    before = dispatcher.blocks.totals()
    assert before.tasks == Totals(done=2, failed=1, lost=1, cancelled=1)
    assert before.runtimes == {
        "local": Totals(done=1, failed=1, lost=1, cancelled=1), "vllm": Totals(done=1)
    }  # fmt: skip
    assert before.services == {"llm": Totals(done=1)}
    dispatcher.lose("0", "killed", "")
    assert len(dispatcher.blocks) == 0
    assert dispatcher.blocks.totals().tasks == Totals(done=2, failed=1, lost=2, cancelled=1)
    dispatcher.cancel(4, 2.0)  # it was to run again
    assert dispatcher.blocks.totals().tasks == Totals(done=2, failed=1, lost=2, cancelled=2)


class Campaign(RuleBasedStateMachine):
    """Blocks that come, work, return tasks, leave and are lost in any order; what must always hold is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(Blocks(several=True), 10.0)
        self.now = 0.0
        self.submitted, self.started = 0, 0
        self.held: dict[str, dict[int, bool]] = {}  # by block: its tasks, and whether they have begun
        self.runs: dict[int, int] = {}
        self.reruns: set[int] = set()
        self.outcomes: dict[int, str] = {}
        self.cancelled: set[int] = set()

    def perform(self) -> None:
        self.dispatcher.give_out()
        for instruction in self.dispatcher.take():
            self.follow(instruction)

    def follow(self, instruction: Instruction) -> None:
        match instruction:
            case Give(block=block, tasks=tasks):
                held = {number for tasks in self.held.values() for number in tasks}
                assert held.isdisjoint(task.id for task in tasks)
                self.held[block.id].update((task.id, False) for task in tasks)
            case Ended(results=results):
                for result in results:
                    self.note_end(result.id, "ended")
            case Failed(task=number):
                self.note_end(number, "failed")
            case Left(block=block):
                self.held.pop(block.id)
            case Send(block=block, message=Cancel(tasks=[number])):
                self.held[block.id].pop(number)
            case _:
                pass

    def note_end(self, number: int, how: str) -> None:
        assert number not in self.outcomes
        assert number not in self.cancelled
        self.outcomes[number] = how
        if how == "failed":
            assert self.runs[number] == (MOST_RERUNS + 1 if number in self.reruns else 1)

    @rule(count=st.integers(1, 30), again=st.booleans())
    def submit(self, count: int, again: bool) -> None:
        for _ in range(count):
            self.dispatcher.submit(make_task(self.submitted, RERUN if again else PLAIN))
            if again:
                self.reruns.add(self.submitted)
            self.submitted += 1
        self.perform()

    @precondition(lambda self: len(self.held) < 3)
    @rule()
    def block_comes(self) -> None:
        number = str(self.started)
        self.started += 1
        self.held[number] = {}
        joined(self.dispatcher, f"{number}/a", now=self.now)
        self.perform()

    def block_of(self, data: st.DataObject) -> Block:
        block = self.dispatcher.blocks.get(data.draw(st.sampled_from(sorted(self.held))))
        assert block is not None
        return block

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 10))
    def tasks_begin(self, data: st.DataObject, count: int) -> None:
        held = self.held[self.block_of(data).id]
        for number in [number for number, begun in held.items() if not begun][:count]:
            held[number] = True
            self.runs[number] = self.runs.get(number, 0) + 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 10))
    def tasks_end(self, data: st.DataObject, count: int) -> None:
        block = self.block_of(data)
        ended = [number for number, begun in self.held[block.id].items() if begun][:count]
        for number in ended:
            del self.held[block.id][number]
        self.dispatcher.receive(block, Results([Result(number, RESULT, b"") for number in ended]))
        self.perform()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 10))
    def tasks_return(self, data: st.DataObject, count: int) -> None:
        block = self.block_of(data)
        returned = [number for number, begun in self.held[block.id].items() if not begun][:count]
        for number in returned:
            del self.held[block.id][number]
        self.dispatcher.receive(block, Returned(0, returned))
        self.perform()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def block_leaves(self, data: st.DataObject) -> None:
        block = self.block_of(data)
        begun = [number for number, begun in self.held[block.id].items() if begun]
        self.dispatcher.receive(block, Goodbye("it leaves", begun))
        self.perform()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def block_is_lost(self, data: st.DataObject) -> None:
        block = self.block_of(data)
        for number, begun in self.held[block.id].items():
            if not begun:
                self.runs[number] = self.runs.get(number, 0) + 1  # it may have
        self.dispatcher.lose(block.id, "its job ended", "")
        self.perform()

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, self.submitted - 1))
        if number not in self.outcomes:
            self.dispatcher.cancel(number, self.now)
            self.perform()
            self.cancelled.add(number)

    @invariant()
    def each_task_is_in_one_place(self) -> None:
        held = {number for tasks in self.held.values() for number in tasks}
        assert not held & (self.outcomes.keys() | self.cancelled)
        assert {block.id: set(block.tasks) for block in self.dispatcher.blocks} == {
            number: set(tasks) for number, tasks in self.held.items()
        }

    def teardown(self) -> None:
        """With a block that works, every task has its outcome, and nothing is left in the books."""
        if not self.held:
            self.block_comes()
        while held := {number: tasks for number, tasks in self.held.items() if tasks}:
            for number, tasks in held.items():
                block = self.dispatcher.blocks.get(number)
                assert block is not None
                ended = [Result(task, RESULT, b"") for task in tasks]
                tasks.clear()
                self.dispatcher.receive(block, Results(ended))
                self.perform()
        assert self.outcomes.keys() | self.cancelled == set(range(self.submitted))
        assert not self.dispatcher._waiting
        assert not self.dispatcher._reruns


TestCampaign = Campaign.TestCase
TestCampaign.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_a_block_that_joins_is_told_of_once() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    block = joined(dispatcher)
    assert dispatcher.take() == [Joined(block)]
    assert dispatcher.blocks.seen == ["0"]
