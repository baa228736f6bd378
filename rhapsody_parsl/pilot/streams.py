"""The streams that pass through the pilot: pieces go to their reader as they come, and what readers say goes back.

The reader of a task is the driver, or the process of the task that has submitted it.
"""

from collections.abc import Callable, Collection, Sequence

from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.family import FIRST, Family
from rhapsody_parsl.wire.messages import FromPilot
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More, Piece, Pieces

__all__ = ("Streams",)

_ALL = 1 << 62
"""More than any task gives."""


class Streams:
    """Those of a block's tasks. No piece is kept here: the producer knows how far ahead it may be.

    Args:
        send: Sends the driver a message.
        family: Knows which task submitted which.
    """

    def __init__(self, send: Callable[[FromPilot], None], family: Family) -> None:
        self._send, self._family = send, family
        self._producers: dict[int, tuple[int, Callable[[More], None]]] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Pass on the pieces of a run's tasks; `more` takes what their reader says."""
        self._producers.update({piece.id: (run, more) for piece in pieces})
        if drivers := [piece for piece in pieces if piece.id < FIRST]:
            self._send(Pieces(run, drivers))
        if len(drivers) < len(pieces):
            for piece in pieces:
                if piece.id >= FIRST:
                    self._to_parent(piece, more)

    def _to_parent(self, piece: Piece, more: Callable[[More], None]) -> None:
        """Pass on a piece to who submitted its task; one that lives on by itself goes on without a reader."""
        peer, number = self._family.reader_of(piece.id)
        if isinstance(peer, Peer):
            peer.send(ChildPieces([Piece(number, piece.number, piece.payload)]))
        else:
            more(More(piece.id, _ALL, _ALL))

    def child_more(self, peer: Peer, message: ChildMore) -> None:
        """Pass on what the process that submitted a task says as its reader."""
        if own := self._family.number_of(peer, message.task):
            self.more(More(own, message.taken, message.size, message.stop))

    def go_on(self, tasks: Collection[int]) -> None:
        """Nobody reads these any more: they do not wait for it."""
        for task in tasks:
            self.more(More(task, _ALL, _ALL))

    def more(self, message: More) -> None:
        """Pass on what a reader says; the task may be over."""
        if known := self._producers.get(message.task):
            known[1](message)

    def ended(self, run: int, tasks: Collection[int] | None = None) -> None:
        """These tasks of a run give no more pieces; None is all of it."""
        for task, (of_run, _) in list(self._producers.items()):
            if of_run == run and (tasks is None or task in tasks):
                del self._producers[task]
