"""The streams that pass through the pilot: pieces go to the driver as they come, and what readers say goes back."""

from collections.abc import Callable, Collection, Sequence

from rhapsody_parsl.wire.messages import FromPilot
from rhapsody_parsl.wire.piece_messages import More, Piece, Pieces

__all__ = ("Streams",)


class Streams:
    """Those of a block's tasks. No piece is kept here: the producer knows how far ahead it may be.

    Args:
        send: Sends the driver a message.
    """

    def __init__(self, send: Callable[[FromPilot], None]) -> None:
        self._send = send
        self._producers: dict[int, tuple[int, Callable[[More], None]]] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Pass on the pieces of a run's tasks; `more` takes what their reader says."""
        self._producers.update({piece.id: (run, more) for piece in pieces})
        self._send(Pieces(run, list(pieces)))

    def more(self, message: More) -> None:
        """Pass on what a reader says; the task may be over."""
        if known := self._producers.get(message.task):
            known[1](message)

    def ended(self, run: int, tasks: Collection[int] | None = None) -> None:
        """These tasks of a run give no more pieces; None is all of it."""
        for task, (of_run, _) in list(self._producers.items()):
            if of_run == run and (tasks is None or task in tasks):
                del self._producers[task]
