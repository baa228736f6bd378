"""What a worker has to tell and has not sent: results, and pieces of streams."""

import threading
import time

import msgspec

from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.codec import INLINE_LIMIT
from rhapsody_parsl.wire.messages import RAISED, RESULT, ChildrenEnded, Done, Failed, Result
from rhapsody_parsl.wire.piece_messages import Piece, Pieces
from rhapsody_parsl.worker import afterwards, line
from rhapsody_parsl.worker.flow import Flow

__all__ = ("Outbox",)

_FLUSH_AFTER = 0.005


class Outbox:
    """Results not yet sent, shared by the two threads: many short tasks share a message, and none waits for a long one.

    Pieces of streams are sent at once.

    Args:
        spoke: To the pilot.

    Attributes:
        flows: Of the tasks that give pieces now.
    """

    def __init__(self, spoke: Spoke) -> None:
        self._spoke = spoke
        self._lock = threading.Lock()
        self._run = 0
        self._results: list[Result] = []
        self._sealed = False
        self._streamed: set[int] = set()
        self._flushed = time.perf_counter()
        self.flows: dict[int, Flow] = {}

    def put(self, run: int, result: Result, asker: tuple[str, int] | None = None) -> None:
        """Take a result; all of one batch are of one run.

        Args:
            run: The run.
            result: The result.
            asker: Who is told of it at once, and the pilot next, if the result can go that way and comes alone.
        """
        line.over()
        with self._lock:
            if self._sealed:
                return
            if asker and not self._results:
                result = self._answered(run, result, *asker)
            self._streamed.discard(result.id)
            self._run = run
            self._results.append(result)
        if time.perf_counter() - self._flushed > _FLUSH_AFTER:
            self.flush()

    def _answered(self, run: int, result: Result, asker: str, number: int) -> Result:
        """Tell an asker of a result; return what is left of it for the pilot.

        What the pilot may have to act upon is for the pilot: losses and references. Pieces come before their end.
        """
        payload = result.payload
        plain = result.kind in (RESULT, RAISED) and isinstance(payload, bytes) and len(payload) <= INLINE_LIMIT
        if not plain or result.gives or result.id in self._streamed:
            return result
        told = msgspec.structs.replace(result, id=number, told=run)
        if not self._spoke.answer(asker, ChildrenEnded([told])):
            return result
        return msgspec.structs.replace(result, payload=b"", told=run)

    def send_piece(self, run: int, piece: Piece) -> None:
        """Send a piece of a task's stream."""
        with self._lock:
            self._streamed.add(piece.id)
            if not self._sealed:
                self._spoke.send(Pieces(run, [piece]))

    def flush(self) -> None:
        """Send what is there."""
        with self._lock:
            if self._results:
                self._spoke.send(Done(self._run, self._results))
                self._results = []
            self._flushed = time.perf_counter()
        afterwards.settle()

    def tell(self, message: Failed) -> None:
        """Send what is there, then a word of our own."""
        self.flush()
        self._spoke.send(message)

    def seal(self) -> None:
        """Send what is there and take nothing more: a task whose processes are being killed must not report that."""
        with self._lock:
            self._sealed = True
        self.flush()
