"""What pilots say goes to the dispatcher, and what it wants done is done: told to pilots, and to those who wait."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import (
    Came,
    Cut,
    Discard,
    Ended,
    Failed,
    Give,
    Instruction,
    Joined,
    Left,
    Send,
    Stranger,
)
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.door import Tunnelled
from rhapsody_parsl.wire.examination import Examined
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import (
    FromPilot,
    Hello,
    Message,
    Report,
    Result,
    Results,
    Served,
    Submit,
    Task,
)
from rhapsody_parsl.wire.piece_messages import Piece
from rhapsody_parsl.wire.shared_memory import check_shared, deliver, discard, discard_block
from rhapsody_parsl.wire.value_messages import FromValues, ValuesCame, WantValue

__all__ = ("Conversation", "Front", "Outcomes")

log = logging.getLogger(__name__)


class Outcomes(Protocol):
    """Who learns how tasks end; called on the link's thread."""

    def ended(self, result: Result) -> None:
        """A task ended."""

    def came(self, pieces: Sequence[Piece]) -> None:
        """Tasks gave pieces."""

    def failed(self, task: int, error: RhapsodyError) -> None:
        """A task was lost."""

    def valued(self, block: Block, message: FromValues) -> None:
        """A block says something of values kept by reference."""

    def joined(self, block: Block) -> None:
        """A block's pilot said hello."""

    def left(self, block: Block) -> None:
        """A block is gone."""

    def cut(self, block: str) -> None:
        """A block's connection ended; it may come back."""

    def broken(self, error: Exception) -> None:
        """The link itself broke; it serves nobody any more."""


class Front(Protocol):
    """Who carries connections to blocks."""

    def joined(self, block: Block) -> None:
        """A block's pilot said hello."""

    def left(self, block: Block) -> None:
        """A block is gone."""

    def receive(self, block: Block, message: Tunnelled) -> None:
        """A block's pilot said something of a connection."""


class Conversation:
    """The driver's side of all conversations with pilots. It has no thread: one caller at a time may enter.

    Args:
        dispatcher: Decides.
        outcomes: Who learns how tasks end.
        front: Who carries connections.
        send: Sends frames to a pilot: `(name, frames, local)`; returns whether there is a connection that takes them.
        changed: Called when a block has joined, left, or told how it is.
        shared_folder: Folder for large payloads, or "".
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        outcomes: Outcomes,
        front: Front,
        *,
        send: Callable[[str, list[bytes], bool], bool],
        changed: Callable[[], None],
        shared_folder: str,
    ) -> None:
        self._dispatcher, self._outcomes, self._front = dispatcher, outcomes, front
        self._shared = shared_folder
        self._send_frames, self._changed = send, changed
        self._codec: Codec[FromPilot] = Codec(FromPilot)
        self._complaints = Complaints(log)

    # --- heard ---------------------------------------------------------------------------------------------------

    def hear(self, peer: str, frames: list[bytes], local: bool) -> None:
        """A pilot sent frames.

        Args:
            peer: Its name.
            frames: What it sent.
            local: Whether they came over a Unix socket.

        Raises:
            MalformedFrame: They are no message; its block is lost.
        """
        block = self._dispatcher.heard(peer, local, time.monotonic())
        if block is None:
            self.perform()
            return
        try:
            for body in block.session.receive(frames):
                self._take_in(block, self._codec.decode(body))
        except MalformedFrame as problem:
            self._dispatcher.lose(block.id, f"it spoke out of turn ({problem})", "")
            self.give_out()
            raise
        for reply in block.session.replies:
            self._put(block, reply)
        block.session.replies.clear()
        self.give_out()

    def _take_in(self, block: Block, message: FromPilot) -> None:
        if isinstance(message, Results):
            check_shared(message.results, self._shared, block.id)
        elif isinstance(message, Tunnelled):
            self._front.receive(block, message)
            return
        elif isinstance(message, WantValue | ValuesCame):
            self._outcomes.valued(block, message)
            return
        self._dispatcher.receive(block, message)
        self.perform()
        if isinstance(message, Report | Served | Examined):
            self._changed()
        if isinstance(message, Hello) and (refusal := self._dispatcher.blocks.refused.get(block.id)):
            log.error("block %s is refused: %s", block.id, refusal)

    def cut(self, peer: str) -> None:
        """A pilot's connection over a Unix socket has ended."""
        block = self._dispatcher.blocks.get(peer.partition("/")[0])
        if block is not None and block.peer == peer:
            self._dispatcher.cut(block)
            self.perform()

    # --- said ----------------------------------------------------------------------------------------------------

    def ask_all(self) -> None:
        """Send each block a heartbeat, which also tells whose connection has ended, when one has."""
        for block in self._dispatcher.blocks:
            self._put(block, block.session.beat())
        self.perform()

    def tell(self, block: Block, message: Message) -> None:
        """Send a block's pilot a message, while it is there."""
        if self._dispatcher.blocks.get(block.id) is block:
            self._send(block, message)
            self.perform()

    def _send(self, block: Block, message: Message) -> None:
        self._put(block, block.session.send(encode(message)))

    def _put(self, block: Block, frames: list[bytes]) -> None:
        if not self._send_frames(block.peer, frames, block.local):
            self._dispatcher.cut(block)  # the session sends it again when the connection is back

    # --- done for the dispatcher ---------------------------------------------------------------------------------

    def give_out(self) -> None:
        """Give waiting tasks to blocks that have room."""
        self._dispatcher.give_out()
        self.perform()

    def perform(self) -> None:
        """Do what the dispatcher wants, until it wants nothing."""
        while instructions := self._dispatcher.take():
            for instruction in instructions:
                self._do(instruction)

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case Give(block=block, tasks=tasks):
                self._send(block, Submit([self._delivered(block, task) for task in tasks]))
            case Ended() | Came() | Failed():
                self._tell_of_tasks(instruction)
            case Discard(items=items):
                for item in items:
                    discard(item)
            case Send(block=block, message=message):
                self._send(block, message)
            case _:
                self._tell(instruction)

    def _tell_of_tasks(self, about: Ended | Came | Failed) -> None:
        """Tell those who wait for tasks."""
        match about:
            case Ended(results=results):
                for result in results:
                    self._outcomes.ended(result)
            case Came(pieces=pieces):
                self._outcomes.came(pieces)
            case Failed(task=task, error=error):
                self._outcomes.failed(task, error)

    def _tell(self, about: Joined | Left | Cut | Stranger) -> None:
        """Tell those who want to know of a block."""
        match about:
            case Joined(block=block):
                log.info("block %s is there: %s", block.id, block.inventory)
                self._outcomes.joined(block)
                self._front.joined(block)
                self._changed()
            case Left(block=block, reason=reason):
                log.info("block %s is gone: %s", block.id, reason)
                self._outcomes.left(block)
                self._front.left(block)
                discard_block(self._shared, block.id)
                self._changed()
            case Cut(block=block):
                self._outcomes.cut(block.id)
            case Stranger(number=number):
                self._complaints.note("another pilot says that it is block %s: it is not heard", number)

    def _delivered(self, block: Block, task: Task) -> Task:
        """Put a large payload where the block sees it."""
        moved = deliver(task, self._shared if block.shared_memory else "")
        if moved is not task:
            self._dispatcher.moved(block, moved)
        return moved
