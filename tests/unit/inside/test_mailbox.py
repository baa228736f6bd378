"""The process of an agent, with a client that only notes what is said."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.inside.mailbox import Checkpoints, Mailbox
from rhapsody_parsl.mail import AgentHandle
from rhapsody_parsl.wire.mail_messages import Rested
from rhapsody_parsl.wire.messages import Answered, Deliver, Task


class FakeClient:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def say(self, message: Any) -> None:
        self.said.append(message)

    @contextmanager
    def restoring(self) -> Iterator[list[Facts]]:
        yield []

    def answers(self) -> dict[int, Any]:
        results = [result for message in self.said if isinstance(message, Answered) for result in message.results]
        opened = {result.id: open_result(result) for result in results}
        return {number: error or value for number, (value, error) in opened.items()}


def kept(agent: Any, place: Path, client: FakeClient | None = None) -> Checkpoints:
    return Checkpoints(agent, str(place), cast(Any, client or FakeClient()), "a")


class Poster:
    """Packs messages as a handle does."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def post(self, _name: str, packed: Callable[[], bytes], *, keep: bool) -> Any:
        self.tasks.append(Task(len(self.tasks) + 1, b"", packed()))


class Adder:
    def __init__(self) -> None:
        self.total, self.stopped, self.keeps = 0, 0, True

    def add(self, by: int) -> int:
        self.total += by
        return self.total

    async def later(self, by: int) -> int:
        return self.add(by)

    def leave(self) -> None:
        raise SystemExit(3)

    def rest_of(self, keeps: bool) -> None:
        self.keeps = keeps

    def checkpoint(self) -> int | None:
        return self.total if self.keeps else None

    def restore(self, state: int) -> None:
        self.total = state

    def on_stop(self) -> None:
        self.stopped += 1


def serve(agent: Any, place: Path, *calls: tuple[Any, ...]) -> dict[int, Any]:
    """Have an agent answer some messages, and then stop."""
    client, poster = FakeClient(), Poster()
    handle = AgentHandle("a", poster)
    for method, *args in calls:
        handle.ask(method, *args)
    handle.stop()
    mailbox = Mailbox("a", client)  # type: ignore[arg-type]  # what it uses of one
    mailbox.deliver(Deliver(poster.tasks))
    mailbox.serve(agent, kept(agent, place, client))
    return client.answers()


def test_messages_are_answered_in_order_and_failures_are_answers_too(tmp_path: Path) -> None:
    agent = Adder()
    calls: list[tuple[Any, ...]] = [("add", 1), ("later", 2), ("add",), ("nothing",), ("_x",), ("leave",), ("add", 4)]
    answers = serve(agent, tmp_path / "a", *calls)
    assert (answers[1], answers[2], answers[7], answers[8]) == (1, 3, 7, None)
    assert [type(answers[number]).__name__ for number in (3, 4, 5, 6)] == [
        "TypeError", "AttributeError", "AttributeError", "WorkerLost",
    ]  # fmt: skip
    assert agent.stopped == 1
    assert not list(tmp_path.iterdir()), "the checkpoint goes when the agent stops"


def test_the_next_process_has_the_last_checkpoint(tmp_path: Path) -> None:
    first, place = Adder(), tmp_path / "folder" / "a"
    checkpoints = kept(first, place)
    checkpoints.restore()
    first.total = 5
    checkpoints.write()
    first.total, first.keeps = 6, False
    checkpoints.write()
    second = Adder()
    kept(second, place).restore()
    assert second.total == 5, "None keeps the one before"


def test_an_agent_without_hooks_keeps_nothing(tmp_path: Path) -> None:
    checkpoints = kept(object(), tmp_path / "a")
    checkpoints.write()
    checkpoints.restore()
    assert not list(tmp_path.iterdir())


class KilledError(Exception):
    """The block ends."""


def test_before_the_block_ends_it_answers_what_it_has_and_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause() -> None:
        raise KilledError

    monkeypatch.setattr(signal, "pause", pause)
    agent, client, poster = Adder(), FakeClient(), Poster()
    handle = AgentHandle("a", poster)
    handle.ask("add", 2)
    mailbox = Mailbox("a", client)  # type: ignore[arg-type]  # what it uses of one
    mailbox.deliver(Deliver(poster.tasks))
    threading.Thread(target=mailbox.notice).run()
    mailbox.deliver(Deliver(poster.tasks))
    with pytest.raises(KilledError):
        mailbox.serve(agent, kept(agent, tmp_path / "a", client))
    assert client.answers() == {1: 2}, "what comes later is for its next process"
    assert client.said[-1] == Rested("a")
    assert agent.stopped == 1
    assert (tmp_path / "a").exists()
