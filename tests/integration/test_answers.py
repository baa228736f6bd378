"""Answers of tasks to the tasks that have submitted them, past the pilot, which hears of each end all the same."""

from collections.abc import Iterator
from pathlib import Path

import parsl
import pytest
from parsl import Config

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing.waiting import until
from tests.integration import answering

TIMEOUT = 60
FREE = {"cores": 0}


@pytest.fixture
def block(tmp_path: Path) -> Iterator[RhapsodyExecutor]:
    executor = RhapsodyExecutor(label="answers", runtimes=[LocalRuntime()], cores_per_node=2)
    with parsl.load(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False, strategy="none")):
        yield executor


def ended(block: RhapsodyExecutor) -> tuple[int, int, int]:
    [one] = block.view().blocks
    return one.tasks.done, one.tasks.lost, one.tasks.cancelled


def test_a_chain_is_answered_past_the_pilot_and_counted(block: RhapsodyExecutor, tmp_path: Path) -> None:
    links, told = block.submit(answering.chain, FREE, 100, "", "").result(TIMEOUT)
    assert told > 50, "the others came by the pilot, which is as well"
    assert len(set(links)) == 1
    for _ in range(20):  # the last of each is told to the pilot at the end of its parent, if it is not before
        block.submit(answering.chain, FREE, 1, "", "").result(TIMEOUT)
    until(lambda: ended(block) == (141, 0, 0), 10)


def test_a_worker_that_is_slow_to_tell_the_pilot_has_the_next_task_too(block: RhapsodyExecutor, tmp_path: Path) -> None:
    links, told = block.submit(answering.chain, FREE, 6, "waits", str(tmp_path)).result(TIMEOUT)
    assert told == 6
    assert len(set(links)) == 1, "no second worker was started for a task that comes too soon"


@pytest.mark.parametrize("on_loss", ["fail", "rerun"])
def test_who_has_answered_and_dies_has_answered(block: RhapsodyExecutor, tmp_path: Path, on_loss: str) -> None:
    links, _ = block.submit(answering.chain, FREE, 6, "dies", str(tmp_path), on_loss=on_loss).result(TIMEOUT)
    assert len(links) == 6
    assert len(set(links[3:]) - {links[2]}) == 1, "the tasks after it had another worker"
    until(lambda: ended(block) == (7, 0, 0), 10)
    same, began = block.submit(answering.waits_after, FREE, str(tmp_path), on_loss=on_loss).result(TIMEOUT)
    assert same, "a second answer, or the word of a loss, changes nothing"
    assert began in ((2,) if on_loss == "fail" else (3, 4, 5)), "lost and run again, if its parent says nothing"


def test_who_does_not_read_gets_all_answers(block: RhapsodyExecutor) -> None:
    assert block.submit(answering.reads_late, FREE, 40).result(TIMEOUT) == list(range(40))


def test_a_fresh_process_hears_answers_and_leaves_no_socket(block: RhapsodyExecutor) -> None:
    links, told = block.submit(answering.chain, {**FREE, "isolation": "process"}, 10, "", "").result(TIMEOUT)
    assert (len(links), bool(told)) == (10, True)
    assert block.submit(answering.sockets, FREE).result(TIMEOUT) == []


def test_pieces_of_tasks_side_by_side_come_before_their_end(block: RhapsodyExecutor) -> None:
    assert block.submit(answering.reads_two, FREE, 20).result(TIMEOUT) == [5] * 40
