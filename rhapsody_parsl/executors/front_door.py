"""The driver's address for the models of all blocks: each connection goes on to a block's door as a stream of the link.

The address lasts as long as the executor. Blocks come and go behind it.
"""

import asyncio
from collections.abc import Callable

from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.wire.door import DoorKey, DoorKeys, Tunnelled, TunnelOpen
from rhapsody_parsl.wire.pipe import HANG_UP_AFTER, Pipe
from rhapsody_parsl.wire.streams import Streams

__all__ = ("HOST", "FrontDoor")

HOST = "127.0.0.1"
_BACKLOG = 1024


class FrontDoor:
    """All on the link's loop, but `take_keys`, `joined` and `left`, which may be called by any thread.

    Args:
        loop: The link's.
        blocks: The connected ones.
        send: Sends a block's pilot a message.
        wait: Seconds that a connection waits while no block is there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        blocks: Blocks,
        send: Callable[[Block, Tunnelled | DoorKeys], None],
        wait: float,
    ) -> None:
        self._loop, self._blocks, self._send, self._wait = loop, blocks, send, wait
        self._server: asyncio.Server | None = None
        self._lines: dict[Block, Streams] = {}
        self._waiting: dict[_Visitor, asyncio.TimerHandle] = {}
        self._visitors: set[_Visitor] = set()
        self._streams = 0
        self._keys: list[DoorKey] = []

    async def open(self, port: int) -> int:
        """Listen, on a free port where it is 0; return on which. Idempotent.

        Raises:
            OSError: The port is taken.
        """
        if self._server is None:
            self._server = await self._loop.create_server(lambda: _Visitor(self), HOST, port, backlog=_BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Hang up on everyone, in the loop's next two turns; idempotent."""
        if self._server:
            self._server.close()
        for timer in self._waiting.values():
            timer.cancel()
        for visitor in list(self._visitors):
            visitor.hang_up()

    # --- what becomes of blocks (any thread) ---------------------------------------------------------------------

    def joined(self, block: Block) -> None:
        """A block is there."""
        self._loop.call_soon_threadsafe(self._serve_waiting)

    def take_keys(self, keys: list[DoorKey]) -> None:
        """Blocks take these keys from now on, beside the executor's own."""
        self._keys = keys
        self._loop.call_soon_threadsafe(self._tell_keys)

    def _tell_keys(self) -> None:
        for block in self._there():
            self._send(block, DoorKeys(self._keys))

    def left(self, block: Block) -> None:
        """A block is gone, and so are the connections that led to it."""
        self._loop.call_soon_threadsafe(self._end, block)

    def receive(self, block: Block, message: Tunnelled) -> None:
        """A block's pilot said something of a stream; it is heard when the link has done its work."""
        self._loop.call_soon(self._hear, block, message)

    def _hear(self, block: Block, message: Tunnelled) -> None:
        if line := self._lines.get(block):
            line.receive(message)

    def _end(self, block: Block) -> None:
        if line := self._lines.pop(block, None):
            line.end_all()

    def _serve_waiting(self) -> None:
        for block in self._there():
            self._welcome(block)
        for visitor, timer in list(self._waiting.items()):
            if self._connect(visitor):
                timer.cancel()
                del self._waiting[visitor]

    # --- what becomes of clients ---------------------------------------------------------------------------------

    def came(self, visitor: "_Visitor") -> None:
        """Somebody has connected."""
        self._visitors.add(visitor)
        if not self._connect(visitor):
            visitor.hold()
            self._waiting[visitor] = self._loop.call_later(self._wait, self._refuse, visitor)

    def went(self, visitor: "_Visitor") -> None:
        """Somebody has gone."""
        self._visitors.discard(visitor)
        if timer := self._waiting.pop(visitor, None):
            timer.cancel()

    def _connect(self, visitor: "_Visitor") -> bool:
        """Lead a client to the block with the fewest streams; return whether there is one."""
        there = self._there()
        if not there:
            return False
        for block in there:
            self._welcome(block)
        block = min(there, key=lambda block: len(self._lines[block]))
        self._streams += 1
        self._send(block, TunnelOpen(self._streams))
        visitor.join(self._lines[block], self._streams)
        return True

    def _there(self) -> list[Block]:
        return [block for block in self._blocks if block.inventory and not block.closing]

    def _welcome(self, block: Block) -> None:
        """Tell a new block the keys, before anything comes that shows one."""
        if block not in self._lines:
            self._lines[block] = block.visitors = self._line(block)
            if self._keys:
                self._send(block, DoorKeys(self._keys))

    def _line(self, block: Block) -> Streams:
        return Streams(lambda message: self._send(block, message))

    def _refuse(self, visitor: "_Visitor") -> None:
        del self._waiting[visitor]
        visitor.refuse(f"No block is there, and none came within openai_wait={self._wait:g} s")
        self._loop.call_later(HANG_UP_AFTER, visitor.hang_up)


class _Visitor(Pipe):
    """A client's connection."""

    def __init__(self, door: FrontDoor) -> None:
        super().__init__(visitor=True)
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._door.came(self)

    def connection_lost(self, problem: Exception | None) -> None:
        super().connection_lost(problem)
        self._door.went(self)
