"""Coroutines side by side whose results cannot be told: their process ends, and nobody waits for it."""

from typing import Any

import pytest

from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.wire.messages import Result, Task, Work
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
        import asyncio

        await asyncio.sleep(60)

    monkeypatch.setattr(together, "end_leftovers", lambda: None)
    tasks = [Task(number, b"", pack_call(one, (), {})) for number, one in enumerate((quick, lasting))]
    inbox = Inbox(lambda: None)
    inbox.put(Work(1, "call", (), {}, tasks))
    work = inbox.get_nowait()
    assert work
    with pytest.raises(OSError, match="no room"):
        Together(inbox, Full(puts)).run(work)  # type: ignore[arg-type]  # enough of one
