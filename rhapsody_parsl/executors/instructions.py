"""What the dispatcher wants done; the link does it."""

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.wire.messages import Message, Result, Task
from rhapsody_parsl.wire.piece_messages import Piece

__all__ = ("Came", "Cut", "Discard", "Ended", "Failed", "Give", "Instruction", "Joined", "Left", "Send", "Stranger")


class Give(msgspec.Struct, frozen=True):
    """Send tasks to the block that has them now; when a payload is put elsewhere for the way, say so with `moved`."""

    block: Block
    tasks: list[Task]


class Send(msgspec.Struct, frozen=True):
    """Send a message to a block's pilot."""

    block: Block
    message: Message


class Ended(msgspec.Struct, frozen=True):
    """Tasks ended with these results."""

    results: list[Result]


class Came(msgspec.Struct, frozen=True):
    """Tasks that have not ended gave these pieces."""

    pieces: list[Piece]


class Failed(msgspec.Struct, frozen=True):
    """A task was lost."""

    task: int
    error: RhapsodyError


class Discard(msgspec.Struct, frozen=True):
    """Nobody reads these payloads any more."""

    items: list[Task | Result]


class Joined(msgspec.Struct, frozen=True):
    """A block's pilot said hello, and can work with us."""

    block: Block


class Left(msgspec.Struct, frozen=True):
    """A block is gone; its pilot is not heard again."""

    block: Block
    reason: str


class Cut(msgspec.Struct, frozen=True):
    """A block's connection ended; it may come back."""

    block: Block


class Stranger(msgspec.Struct, frozen=True):
    """Another pilot says that it is this block; it is not heard."""

    number: str


Instruction = Give | Send | Ended | Came | Failed | Discard | Joined | Left | Cut | Stranger
