"""Coroutines side by side: those that come before they run, and those whose results cannot be told."""

import asyncio
from typing import Any

import pytest

from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.wire.messages import RESULT, Result, Task, Work
from rhapsody_parsl.wire.piece_messages import Piece
from rhapsody_parsl.worker import together
from rhapsody_parsl.worker.inbox import Inbox
from rhapsody_parsl.worker.together import Together


class Full:
    """An outbox that takes nothing, or sends nothing.

    Args:
        puts: Whether it takes something.
    """

    def __init__(self, puts: bool) -> None:
        self._puts = puts
        self.flows: dict[int, Any] = {}

    def send_piece(self, run: int, piece: Piece) -> None:
        """Nobody gives any."""

    def put(self, run: int, result: Result, asker: object) -> None:
        if not self._puts:
            raise OSError("no room")

    def flush(self) -> None:
        raise OSError("no room")


@pytest.mark.parametrize("puts", [True, False])
@pytest.mark.timeout(20)
def test_a_result_that_cannot_be_told_ends_the_process(puts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def quick() -> int:
        return 1

    async def lasting() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(together, "end_leftovers", lambda: None)
    tasks = [Task(number, b"", pack_call(one, (), {})) for number, one in enumerate((quick, lasting))]
    inbox = Inbox(lambda: None)
    inbox.put(Work(1, "call", (), {}, tasks))
    work = inbox.get_nowait()
    assert work
    with pytest.raises(OSError, match="no room"):
        Together(inbox, Full(puts)).run(work)  # type: ignore[arg-type]  # enough of one


class Kept(Full):
    """An outbox that keeps what it takes."""

    def __init__(self) -> None:
        super().__init__(puts=True)
        self.results: list[Result] = []

    def put(self, run: int, result: Result, asker: object) -> None:
        self.results.append(result)

    def flush(self) -> None:
        """Nobody reads them."""


_both = asyncio.Barrier(2)


async def meet() -> None:
    async with asyncio.timeout(5):
        await _both.wait()


def test_work_that_came_while_the_first_was_being_begun_is_begun_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its listener hears it then, and asyncio takes long to load."""
    monkeypatch.setattr(together, "end_leftovers", lambda: None)
    inbox, outbox = Inbox(lambda: None), Kept()
    for number in (1, 2):
        inbox.put(Work(1, "together", (), {}, [Task(number, b"", pack_call(meet, (), {}))]))
    work = inbox.get_nowait()
    assert work
    Together(inbox, outbox).run(work)  # type: ignore[arg-type]  # enough of one
    assert {result.id: result.kind for result in outbox.results} == {1: RESULT, 2: RESULT}
