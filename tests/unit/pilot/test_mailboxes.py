"""The messages of a block for its agents: what is delivered, again after a loss, and what fails."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.annotations.task_spec import MAILBOX, TaskSpec
from rhapsody_parsl.errors import AgentNameTaken
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.pilot.mailboxes import Mailboxes
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.mail_messages import OpenMailbox
from rhapsody_parsl.wire.messages import RESULT, Deliver, Result
from testing.nodes import make_spec, make_task

AGENT = 7


class FakePeer:
    def __init__(self) -> None:
        self.sent: list[list[int]] = []
        self.told = 0

    def send(self, message: Deliver) -> None:
        self.told += message.rest
        if message.tasks:
            self.sent.append([task.id for task in message.tasks])


class Block:
    """Knows one agent, in task 7, and notes what becomes of messages; the mailboxes' nesting and events."""

    def __init__(self) -> None:
        self.ended: dict[int, str] = {}
        self.returned_ones: list[int] = []
        self.here, self.extra, self.fails = {"counter": AGENT}, list[int](), False
        self.mail = Mailboxes(self, lambda task: Path(f"/state/{task}"))  # type: ignore[arg-type]  # what it uses of them
        self.mail._nesting = self  # type: ignore[assignment]  # as above
        self.run = Run(1, TaskSpec(runtime=MAILBOX, service="counter"))
        self.peer = FakePeer()

    def host_of(self, agent: str) -> int:
        return self.here.get(agent, 0)

    def is_here(self, task: int) -> bool:
        return task in self.here.values()

    def is_the_drivers(self, task: int) -> bool:
        return task < 100

    def tasks(self) -> list[int]:
        return [*self.here.values(), *self.extra]

    def watch(self, task: int) -> None: ...

    def proven(self, task: int) -> None: ...

    def fails_unanswered(self, _task: int) -> bool:
        return self.fails

    def done(self, _run: int, results: Sequence[Result]) -> None:
        for result in results:
            error = open_result(result)[1]
            self.ended[result.id] = type(error).__name__ if error else "ok"

    def returned(self, _run: int, tasks: Sequence[int]) -> None:
        self.returned_ones += tasks

    def post(self, *numbers: int) -> None:
        self.mail.run(self.run, [make_task(number, make_spec()) for number in numbers])

    def open(self) -> None:
        self.mail.open(self.peer, OpenMailbox(1, AGENT, "counter"))  # type: ignore[arg-type]  # it sends as a peer
        self.mail.opened("counter")

    def answer(self, *numbers: int, peer: Any = None) -> None:
        results = [Result(number, RESULT, pack_result(None)) for number in numbers]
        self.mail.answered(peer or self.peer, "counter", results)  # type: ignore[arg-type]  # as above

    def lose(self) -> FakePeer:
        """The agent's process is lost, and another one opens the mailbox."""
        self.mail.over([AGENT])
        self.peer = FakePeer()
        self.open()
        return self.peer


def test_messages_wait_for_their_agent_and_are_delivered_in_order() -> None:
    block = Block()
    block.post(1, 2)
    block.open()
    block.post(3)
    assert block.peer.sent == [[1, 2], [3]]
    block.answer(1, 2)
    block.answer(2, peer=FakePeer())
    block.answer(99)
    assert block.ended == {1: "ok", 2: "ok"}


def test_after_a_loss_all_is_delivered_again_but_twice_at_most_what_it_may_have_died_of() -> None:
    block = Block()
    block.open()
    block.post(1, 2, 3)
    block.answer(1)
    assert block.lose().sent == [[2, 3]]
    block.post(4)
    assert block.lose().sent == [[3, 4]]
    assert block.ended == {1: "ok", 2: "AgentLost"}
    block.answer(3)
    assert block.lose().sent == [[4]]
    assert 4 not in block.ended, "losses at others do not count"


def test_a_loss_before_a_message_was_delivered_is_not_its_fault() -> None:
    block = Block()
    block.post(1)
    block.mail.over([AGENT])
    block.mail.over([AGENT])
    block.open()
    assert (block.peer.sent, block.ended) == ([[1]], {})


def test_a_message_may_fail_instead_and_those_that_had_not_begun_do_not() -> None:
    block = Block()
    block.fails = True
    block.open()
    block.post(1, 2)
    assert block.lose().sent == [[2]]
    assert block.ended == {1: "AgentLost"}


def test_a_message_to_nobody_or_to_one_that_has_ended_fails() -> None:
    async def go() -> None:
        block = Block()
        block.open()
        block.post(1, 2)
        block.here = {}
        block.mail.over([AGENT])
        assert block.ended == {1: "NoAgent", 2: "NoAgent"}
        block.post(3)
        await asyncio.sleep(0)
        assert block.ended[3] == "NoAgent"

    asyncio.run(go())


def test_what_waits_can_be_taken_back_and_what_was_delivered_can_not() -> None:
    async def go() -> None:
        block = Block()
        block.post(1, 2)
        block.mail.cancel(block.run, [1], kill=False)
        block.open()
        block.mail.cancel(block.run, [2], kill=True)
        await asyncio.sleep(0)
        assert (block.returned_ones, block.peer.sent) == ([1], [[2]])

    asyncio.run(go())


def test_a_name_has_one_agent() -> None:
    block = Block()
    with pytest.raises(AgentNameTaken):
        block.mail.open(block.peer, OpenMailbox(1, AGENT + 1, "counter"))  # type: ignore[arg-type]  # it sends as a peer


def test_agents_rest_once_nothing_else_is_left_and_are_the_drivers_again() -> None:
    block = Block()
    block.open()
    block.extra = [5]
    assert block.mail.leave() == []
    assert block.peer.told == 0, "a task still runs"
    block.extra = []
    assert block.mail.leave() == block.mail.leave() == []
    assert block.peer.told == 1
    block.post(1)
    block.extra = [1]
    block.mail.rested(block.peer, "counter")  # type: ignore[arg-type]  # it sends as a peer
    block.post(2)
    block.extra = [1, 2]
    assert block.mail.leave() == [AGENT, 1, 2]
    assert block.mail.at_rest
    assert block.peer.sent == [[1]], "who rests gets no more"
    assert block.mail.leave() == []


def test_only_messages_are_taken() -> None:
    assert Block().mail.refuse(make_spec())
    assert not Block().mail.refuse(TaskSpec(runtime=MAILBOX, service="counter"))
