"""Tasks with a walltime and blocks that end: who gets which, who waits for the next block, who waits in vain."""

import math
from typing import Any

import pytest

from rhapsody_parsl.errors import BlockExpired, BlockLost
from rhapsody_parsl.executors.admission import InvalidSpecification
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import Discard, Failed, Give, Instruction, Send
from rhapsody_parsl.executors.later import MOST_IDLE_RETURNS
from rhapsody_parsl.wire.messages import RESULT, VERSION, Goodbye, Hello, Result, Results, Returned, Stop, Task
from testing.clock import Clock
from testing.nodes import make_inventory, make_spec, make_task

SHORT, HOUR, DAY = make_spec(), make_spec(walltime=3600), make_spec(walltime=86_400)


class Driver:
    """A dispatcher on a simulated clock, which is seconds since the epoch, too."""

    def __init__(self, several: bool = True) -> None:
        self.clock = Clock()
        self.dispatcher = Dispatcher(Blocks(several), 1e9, lambda: self.clock.now)
        self.given: dict[str, list[int]] = {}
        self.failed: dict[int, Any] = {}
        self.discarded: list[int] = []

    def block(self, number: str, lasts: float | None, cores: int = 4) -> Block:
        ends = None if lasts is None else self.clock.now + lasts
        block = self.dispatcher.heard(f"{number}/a", True, self.clock.now)
        assert block is not None
        inventory = make_inventory({"cores": cores}, ends_at=ends, lasts=lasts)
        self.hear(block, Hello(VERSION, number, "1", inventory))
        return block

    def hear(self, block: Block, message: Any) -> None:
        self.dispatcher.receive(block, message)
        self.go_on()

    def submit(self, *tasks: Task) -> None:
        for task in tasks:
            self.dispatcher.submit(task)
        self.go_on()

    def go_on(self) -> None:
        self.dispatcher.give_out()
        for instruction in self.dispatcher.take():
            self._follow(instruction)

    def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case Give(block=block, tasks=tasks):
                self.given.setdefault(block.id, []).extend(task.id for task in tasks)
            case Failed(task=task, error=error):
                self.failed[task] = error
            case Discard(items=items):
                self.discarded += [item.id for item in items]
            case _:
                pass


@pytest.mark.parametrize("several", [True, False])
def test_a_task_goes_to_no_block_that_ends_before_it(several: bool) -> None:
    driver = Driver(several)
    driver.block("0", lasts=4000.0)
    driver.clock.now = 500.0
    driver.submit(make_task(0, HOUR), make_task(1, SHORT))
    assert driver.given == {"0": [1]}
    driver.dispatcher.lose("0", "its job ended", "")
    driver.block("1", lasts=4000.0)
    assert driver.given["1"] == [0]


def test_of_two_blocks_it_goes_to_the_one_that_lasts_as_long() -> None:
    driver = Driver()
    driver.block("0", lasts=1000.0, cores=64)
    driver.block("1", lasts=None, cores=4)
    driver.submit(*(make_task(number, HOUR) for number in range(3)), make_task(3, SHORT))
    assert driver.given == {"1": [0, 1, 2], "0": [3]}


def test_long_ones_hold_no_short_one_up_and_keep_their_order() -> None:
    driver = Driver()
    driver.block("0", lasts=4000.0)
    driver.clock.now = 500.0
    driver.submit(*(make_task(number, HOUR) for number in range(2_000)), make_task(2_000, SHORT))
    assert driver.given == {"0": [2_000]}
    driver.block("1", lasts=4000.0, cores=64)
    assert driver.given["1"] == list(range(2_000))


def test_what_a_block_hands_back_waits_for_another_without_an_outcome() -> None:
    driver = Driver()
    block = driver.block("0", lasts=4000.0)
    driver.submit(make_task(0, HOUR), make_task(1, HOUR))
    driver.hear(block, Returned(0, [1]))  # its clock is an hour before ours, say
    driver.submit(make_task(2, HOUR), make_task(3, make_spec(walltime=3000)))
    assert driver.given == {"0": [0, 1, 3]}
    assert not driver.failed
    driver.block("1", lasts=4000.0)
    assert driver.given["1"] == [1, 2]


def test_a_task_longer_than_any_block_is_refused_when_the_block_comes() -> None:
    driver = Driver()
    driver.submit(make_task(0, DAY), make_task(1, HOUR))
    driver.block("0", lasts=4000.0)
    assert driver.given == {"0": [1]}
    assert isinstance(driver.failed[0], InvalidSpecification)
    assert "walltime=86400.0: the block had 4000 s until the end of its job" in str(driver.failed[0])
    assert driver.discarded == [0]
    assert driver.dispatcher.blocks.totals().tasks.failed == 1


def test_a_block_without_an_end_saves_it() -> None:
    driver = Driver()
    driver.block("0", lasts=None)
    driver.dispatcher.lose("0", "its job ended", "")
    driver.submit(make_task(0, DAY))
    driver.block("1", lasts=None)
    driver.block("2", lasts=100.0)
    assert driver.given == {"1": [0]}


def test_blocks_that_do_nothing_but_hand_a_task_back_are_not_started_for_ever() -> None:
    driver = Driver()
    driver.submit(make_task(0, HOUR))
    for number in range(MOST_IDLE_RETURNS):
        assert not driver.failed
        block = driver.block(str(number), lasts=3601.0)
        driver.hear(block, Returned(0, [0]))
        driver.hear(block, Goodbye("idle"))
    assert "3 blocks had not so much time left when it could start" in str(driver.failed[0])
    assert not driver.dispatcher._later._returns


def test_blocks_that_work_may_hand_back_as_often_as_they_like() -> None:
    driver = Driver()
    driver.submit(make_task(0, HOUR))
    for number in range(2 * MOST_IDLE_RETURNS):
        block = driver.block(str(number), lasts=3700.0)
        driver.submit(make_task(100 + number, SHORT))
        driver.hear(block, Results([Result(100 + number, RESULT, b"")]))
        driver.hear(block, Returned(0, [0]))
        driver.hear(block, Goodbye("the job is over"))
    assert not driver.failed


def test_a_task_that_waits_for_time_can_be_cancelled() -> None:
    driver = Driver()
    driver.block("0", lasts=4000.0)
    driver.clock.now = 500.0
    driver.submit(make_task(0, HOUR), make_task(1, HOUR))
    driver.dispatcher.cancel(0, 1.0)
    driver.block("1", lasts=4000.0)
    assert driver.given == {"1": [1]}
    assert driver.dispatcher.blocks.totals().tasks.cancelled == 1


def test_a_block_drains_before_its_job_ends_and_gives_back_what_has_not_begun() -> None:
    driver = Driver()
    block = driver.block("0", lasts=2000.0)
    driver.submit(make_task(0, SHORT), make_task(1, SHORT))
    assert driver.dispatcher.blocks.drain_at == 1940.0
    assert driver.dispatcher.drain_old(1939.0) == []
    assert driver.dispatcher.drain_old(1940.0) == [block]
    assert driver.dispatcher.take() == [Send(block, Stop(drain=True))]
    driver.submit(make_task(2, SHORT))
    driver.hear(block, Returned(0, [1]))
    assert driver.given == {"0": [0, 1]}
    driver.block("1", lasts=2000.0)
    assert driver.given["1"] == [1, 2]
    assert not driver.failed


@pytest.mark.parametrize(("lasts", "drain_before", "at"), [
    (7200.0, None, 7140.0), (100.0, None, 95.0), (7200.0, 600.0, 6600.0), (7200.0, 0.0, 7200.0), (100.0, 600.0, 50.0),
    (None, 600.0, math.inf),
])  # fmt: skip
def test_how_long_before_its_end_a_block_drains(lasts: float | None, drain_before: float | None, at: float) -> None:
    blocks = Blocks(several=True, drain_before=drain_before)
    block = Block("0", 0.0)
    blocks.add(block)
    blocks.joined(block, make_inventory(ends_at=lasts, lasts=lasts), 0.0)
    assert blocks.drain_at == block.drain_at == at


def lost_with(reruns: int, now: float, **keys: Any) -> Any:
    """Return what becomes of a task whose block ends so many times, each at a time of its 2000 s."""
    driver = Driver()
    driver.submit(make_task(0, make_spec(**keys)))
    for number in range(reruns):
        block = driver.block(str(number), lasts=2000.0)
        driver.clock.now += now
        driver.hear(block, Goodbye("the block was told to end (SIGTERM)", [0]))
    return driver.failed.get(0)


def test_what_ran_to_the_end_of_its_block_is_told_so() -> None:
    assert type(lost_with(1, now=1989.0)) is BlockLost
    assert type(lost_with(1, now=1990.0)) is BlockExpired
    assert "the block was told to end (SIGTERM)" in str(lost_with(1, now=1990.0))


def test_a_task_that_is_told_of_the_end_goes_on_after_each() -> None:
    assert lost_with(20, now=2000.0, on_loss="rerun", signal="SIGUSR1") is None
    assert type(lost_with(20, now=100.0, on_loss="rerun", signal="SIGUSR1")) is BlockLost
    assert type(lost_with(20, now=2000.0, on_loss="rerun")) is BlockExpired
    assert type(lost_with(1, now=2000.0, signal="SIGUSR1")) is BlockExpired
