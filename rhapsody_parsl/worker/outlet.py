"""Where the pieces of a task go that is a generator, and how far it may be ahead of their reader."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from rhapsody_parsl.function_kinds import gives_pieces
from rhapsody_parsl.wire.piece_messages import Piece
from rhapsody_parsl.worker.flow import Flow

__all__ = ("Outlet", "drained")


class Outlet:
    """That of one try of a task; most tasks never open theirs.

    Args:
        task: The task's number.
        send: Sends a piece to the pilot; None drops it, as those of all ranks but the first.
        flows: Those of this process, by task: the pilot's word for one goes there.
        make: Makes the flow.
        stated: Whether pieces are those of generator functions alone, and not of a function that returns a generator:
            what one rank of a gang returns says nothing of the others, and they go step by step.

    Attributes:
        stated: See above.
    """

    __slots__ = ("_flows", "_make", "_send", "_task", "stated")

    def __init__(
        self,
        task: int,
        send: Callable[[Piece], None] | None,
        flows: dict[int, Flow],
        make: Callable[[], Flow] = Flow,
        *,
        stated: bool = False,
    ) -> None:
        self._task, self._send, self._flows, self._make, self.stated = task, send, flows, make, stated

    def takes(self, function: Callable[..., Any]) -> bool:
        """Whether the generator that a function has returned is one whose pieces go here."""
        return not self.stated or gives_pieces(function)

    @contextmanager
    def opened(self) -> Iterator[Flow]:
        """Count pieces while the task gives some."""
        flow = self._flows[self._task] = self._make()
        try:
            yield flow
        finally:
            del self._flows[self._task]

    def put(self, value: Any, flow: Flow) -> None:
        """Send a value.

        Raises:
            PayloadError: It cannot be pickled.
        """
        if self._send:
            from rhapsody_parsl.worker.references import packed_piece  # noqa: PLC0415 - dill is paid for with the first task

            self.put_packed(packed_piece(value), flow)

    def put_packed(self, payload: bytes, flow: Flow) -> None:
        """Send a value that was pickled elsewhere."""
        if self._send:
            self._send(Piece(self._task, flow.count(len(payload)), payload))


def drained(pieces: Generator[Any, Any, Any], outlet: Outlet) -> Any:
    """Send what a generator yields; return what it returns, None when its reader stops it.

    Raises:
        BaseException: Whatever it raises.
        PayloadError: A piece cannot be pickled.
    """
    with outlet.opened() as flow:
        try:
            while flow.agree(flow.wait()):
                try:
                    value = next(pieces)
                except StopIteration as end:
                    flow.over()
                    return end.value
                outlet.put(value, flow)
        finally:
            pieces.close()
        flow.over()
    return None
