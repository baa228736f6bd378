"""Which agents are told to stop when their executor does."""

from typing import Any

from rhapsody_parsl.executors.agents import _Known, held_by
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.future import TaskFuture
from testing.nodes import make_spec, make_task


def block(number: str, *tasks: int, closing: bool = False) -> Block:
    made = Block(number, 0.0)
    made.tasks, made.closing = {task: make_task(task, make_spec()) for task in tasks}, closing
    return made


def test_agents_that_no_message_reaches_are_not_waited_for() -> None:
    nobody: Any = None
    agents = {f"agent {task}": _Known(TaskFuture(task, nobody), b"") for task in (1, 2, 3)}
    blocks = [block("0", 1, 7), block("1", 2, closing=True)]
    assert list(held_by(blocks, agents, closing=False)) == ["agent 1"], "one drains with its block, and one is in none"
    assert list(held_by(blocks, agents, closing=True)) == ["agent 2"]
