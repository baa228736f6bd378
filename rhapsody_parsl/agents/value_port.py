"""Where the values of a host are given to other hosts, and how they are had from there: from one to the other directly.

Each value comes over a connection of its own (see `value_fetch`). Who gives holds one piece of it in memory: TCP has it
wait for who takes. What has come is given on while the rest comes. Both ends know the secret key of the block's agents,
and all is encrypted.
"""

import asyncio
import contextlib
import io
import logging
import os
import socket
from collections.abc import Coroutine
from errno import EMFILE, ENFILE, ENOMEM
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rhapsody_parsl.agents.value_fetch import SILENCE, Done, ValueFetch, Wanted, encrypted
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.wire.complaints import Complaints

if TYPE_CHECKING:  # what encrypts is loaded with the first value that moves
    from rhapsody_parsl.wire.encrypted import Encrypted

__all__ = ("ValuePort",)

log = logging.getLogger(__name__)

_MOST_SILENT = 64
"""Connections that have not proved to be ours; the oldest goes for the next."""
_LONGEST_WISH = 1 << 12
"""Bytes."""
_USED_UP = (EMFILE, ENFILE, ENOMEM)
_SHUT = 0.5
"""Seconds in which nobody is let in, for want of a descriptor."""

_encode = msgspec.msgpack.Encoder().encode
_wanted = msgspec.msgpack.Decoder(Wanted).decode


class ValuePort:
    """That of a host, on the running event loop.

    Args:
        files: The values of the host.
        host: What other hosts call this one.
        word: What all hosts of the block know, at most 64 bytes.
        bind: Where to listen.
    """

    def __init__(self, files: DataFiles, host: str, word: bytes, bind: str = "") -> None:
        self._files, self._host, self._word, self._bind = files, host, word, bind
        self._address = ""
        self._complaints = Complaints(log)
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent: dict[socket.socket, asyncio.Task[None]] = {}  # the oldest first
        self._fetches: dict[str, ValueFetch] = {}

    def open(self) -> str:
        """Give values from now on; return the address. Idempotent."""
        if not self._address:
            with contextlib.suppress(ImportError):  # where it is not installed who wants a value says so
                encrypted()
            listener = socket.create_server((self._bind, 0), backlog=_MOST_SILENT)
            listener.setblocking(False)
            self._address = f"{self._host}:{listener.getsockname()[1]}"
            self._start(self._let_in(listener), "let other hosts in", listener)
        return self._address

    def fetch(self, key: str, address: str, done: Done) -> None:
        """Have a value here.

        Args:
            key: The value's.
            address: Of the port that gives it.
            done: See `Done`; called once, unless the value is dropped before.
        """

        def over(problem: str) -> None:
            del self._fetches[key]
            done(problem)

        self.drop([key])
        self._fetches[key] = ValueFetch(self._files, key, address, word=self._word, done=over)

    def drop(self, keys: list[str]) -> None:
        """Nobody needs these any more."""
        for key in keys:
            if fetch := self._fetches.pop(key, None):
                fetch.close()

    def close(self) -> None:
        """Give and have nothing more; idempotent."""
        self.drop(list(self._fetches))
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None], name: str, connection: socket.socket) -> asyncio.Task[None]:
        """Start what is done with a socket, which is closed with it."""
        task = spawn(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._silent.pop(connection, None))
        task.add_done_callback(lambda _: connection.close())
        return task

    async def _let_in(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as problem:  # no descriptor or no memory is left: whoever knocks waits
                self._complaints.note("%s lets nobody in for %g s: %s", self._address, _SHUT, problem)
                await asyncio.sleep(_SHUT)
                continue
            self._silent[connection] = self._start(self._give(connection), "give a value", connection)
            if len(self._silent) > _MOST_SILENT:
                self._silent.pop(next(iter(self._silent))).cancel()

    async def _give(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(SILENCE):
                way = await encrypted().over(connection, self._word, accepted=True)
                wanted = _wanted(await way.receive(_LONGEST_WISH))
        except (OSError, ValueError) as problem:  # which those of msgspec are, and of text that is none
            self._complaints.note("a stranger on %s was refused: %r", self._address, problem)
            return
        self._silent.pop(connection, None)
        with contextlib.suppress(OSError):  # it is gone, or does not go on
            await self._send(way, wanted)

    async def _send(self, way: "Encrypted", wanted: Wanted) -> None:
        """Send the size of a value, -1 where there is none, and its pieces; an empty one where it has no more.

        Raises:
            OSError: The other end is gone, or does not go on.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SILENCE) as limit:
            source = await self._source(wanted.key)
            if source is None:
                await way.send(_encode(-1))
                return
            with source.file:
                await way.send(_encode(source.size))
                start, piece = wanted.start, b"there is more"
                while piece and start < source.size:
                    piece = await source.piece(start, way.LONGEST)
                    start += len(piece)
                    await way.send(piece)
                    limit.reschedule(loop.time() + SILENCE)
                    await asyncio.sleep(0)  # where there is always room, a socket makes nobody wait

    async def _source(self, key: str) -> "_Source | None":
        """Return where a value is read from; it may still be coming.

        Raises:
            OSError: It cannot be opened now, for something is used up: whoever asks connects again.
        """
        try:
            if (fetch := self._fetches.get(key)) and await fetch.reached(1):
                with contextlib.suppress(FileNotFoundError):  # all of it has come meanwhile
                    return _Source(fetch.opened(), fetch.size, fetch)
            file = self._files.opened(key)
            return _Source(file, os.fstat(file.fileno()).st_size)
        except (OSError, ValueError) as problem:  # as of a key that no file can have
            if isinstance(problem, OSError) and problem.errno in _USED_UP:
                raise
        return None


class _Source(NamedTuple):
    """A value that is given.

    Attributes:
        file: Its.
        size: In bytes.
        fetch: By which it still comes; None where all of it is here.
    """

    file: io.FileIO
    size: int
    fetch: ValueFetch | None = None

    async def piece(self, start: int, length: int) -> bytes:
        """Return a piece, once it is there; none where it does not come, or cannot be read."""
        if self.fetch and not await self.fetch.reached(min(start + length, self.size)):
            return b""
        try:
            return os.pread(self.file.fileno(), length, start)
        except OSError:
            return b""
