"""A value that comes to this host from another one: from where it broke off, when the connection was cut.

What has come of it can be given on while the rest comes.
"""

import asyncio
import contextlib
import io
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.data_draft import DataDraft
from rhapsody_parsl.hosts.data_files import DataFiles

if TYPE_CHECKING:  # what encrypts is loaded with the first value that moves
    from rhapsody_parsl.wire.encrypted import Encrypted

__all__ = ("SILENCE", "Done", "ValueFetch", "Wanted", "encrypted")

SILENCE = 5.0
"""Seconds in which no piece comes, after which the other host counts as unreachable."""
_AGAIN = 2.0
"""Seconds in which nothing comes, after which the connection is made again: after a cut the kernel's next try comes
later and later."""
_PATIENCE = 1.5
"""Seconds in which no piece comes, after which those to whom it is given on are told to have it from others."""
_PAUSE = 0.2
"""Seconds until a connection that broke is made again."""

Done = Callable[[str], None]
"""Called with "" when a value is there, or with why it is not."""


class Wanted(msgspec.Struct, array_like=True, frozen=True):
    """What is said first: which value is wanted, from which byte on. The answer is its size, and then the bytes."""

    key: str
    start: int


_encode = msgspec.msgpack.Encoder().encode
_size = msgspec.msgpack.Decoder(int).decode


class _FetchError(Exception):
    """A value cannot be here, for this reason."""


def encrypted() -> "type[Encrypted]":
    """Return what encrypts; it is loaded before any clock runs, for that may take seconds on a shared file system."""
    from rhapsody_parsl.wire.encrypted import Encrypted  # noqa: PLC0415 - loaded with the first value that moves

    return Encrypted


class ValueFetch:
    """That of one value, on the running event loop.

    Args:
        files: Where it goes.
        key: The value's.
        address: Of the port that gives it.
        word: What both ends know.
        done: See `Done`; called once, unless it is closed before.

    Attributes:
        size: In bytes, once some have come.
    """

    def __init__(self, files: DataFiles, key: str, address: str, *, word: bytes, done: Done) -> None:
        self._files, self._key, self._word, self._done = files, key, word, done
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._draft: DataDraft | None = None
        self._got = self.size = 0
        self._in_memory = True  # at first; what then comes again to the disk is not given on meanwhile
        self._came, self._is_over = asyncio.Event(), False
        self._task = spawn(self._run(), f"have value {key}")

    def close(self) -> None:
        """Have it no more; nothing of it stays. Idempotent."""
        self._task.cancel()

    async def reached(self, count: int) -> bool:
        """Wait until so many bytes are here; return whether they can be given on."""
        with contextlib.suppress(TimeoutError):
            while self._got < count and self._in_memory and not self._is_over:
                async with asyncio.timeout(_PATIENCE):
                    await self._came.wait()
        return self._got >= count and self._in_memory

    def opened(self) -> io.FileIO:
        """Return its file, of which what has come can be read.

        Raises:
            FileNotFoundError: All of it has come, or none.
        """
        if self._draft is None:
            raise FileNotFoundError(self._key)
        return self._draft.opened()

    async def _run(self) -> None:
        try:
            problem = await self._result()
        finally:
            self._is_over = True
            self._tell()
            if self._draft is not None:
                self._draft.drop()
        self._done(problem)

    async def _result(self) -> str:
        """Return "" when it is here, or why it is not."""
        try:
            encrypted()
            async with asyncio.timeout(SILENCE) as limit:
                while not await self._comes(limit):
                    await asyncio.sleep(_PAUSE)
            self._keep()
        except TimeoutError:
            return UNREACHABLE
        except (_FetchError, ImportError) as problem:
            return str(problem)
        return ""

    def _tell(self) -> None:
        """Wake who waits for what has come."""
        came, self._came = self._came, asyncio.Event()
        came.set()

    async def _comes(self, limit: asyncio.Timeout) -> bool:
        """Have what is missing of it; False where the connection breaks before, or is none of ours.

        Raises:
            _FetchError: For good.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, msgspec.MsgspecError), socket.socket() as connection:
            connection.setblocking(False)
            async with asyncio.timeout(_AGAIN) as again:
                await loop.sock_connect(connection, self._address)
                way = await encrypted().over(connection, self._word, accepted=False)
                way.came = lambda: again.reschedule(loop.time() + _AGAIN)
                draft = await self._begin(way, again, limit)
                while self._got < self.size:
                    self._write(draft, await way.receive())
                    limit.reschedule(loop.time() + SILENCE)
                    await asyncio.sleep(0)  # where there is always something, a socket makes nobody wait
            return True
        return False

    async def _begin(self, way: "Encrypted", again: asyncio.Timeout, limit: asyncio.Timeout) -> DataDraft:
        """Ask for what is missing of it; return where it goes.

        Args:
            way: Where to ask.
            again: See `_comes`.
            limit: See there.

        Raises:
            OSError: The other end is gone.
            _FetchError: There is none, or no room for it.
        """
        await way.send(_encode(Wanted(self._key, self._got)))
        size = _size(await way.receive())
        if size <= 0 or (self._draft and size != self.size):
            raise _FetchError(NOT_THERE)
        if self._draft is None:
            try:
                await self._make_room(size, again, limit)
                self._draft, self.size = self._files.begin(self._key, size, in_memory=self._in_memory), size
            except (OSError, RuntimeError) as problem:  # no thread can be had either
                raise _FetchError(str(problem)) from problem
        return self._draft

    async def _make_room(self, size: int, again: asyncio.Timeout, limit: asyncio.Timeout) -> None:
        """Make room in memory, in a thread, while no clock runs: values go to the disk, or a worker is at that.

        Raises:
            OSError: It cannot be made.
            RuntimeError: No thread can be had.
        """
        if self._in_memory:
            for clock in (again, limit):
                clock.reschedule(None)
            await asyncio.to_thread(self._files.make_room, size)
            now = asyncio.get_running_loop().time()
            again.reschedule(now + _AGAIN)
            limit.reschedule(now + SILENCE)

    def _write(self, draft: DataDraft, piece: bytes) -> None:
        """Write a piece; what finds no room in memory comes again, onto the disk.

        Raises:
            ConnectionAbortedError: It is to come again.
            _FetchError: No such piece is left of it, or there is no room for it.
        """
        if not 0 < len(piece) <= self.size - self._got:
            raise _FetchError(NOT_THERE)
        try:
            draft.write(piece)
        except OSError as problem:
            if not self._in_memory:
                raise _FetchError(str(problem)) from problem
            draft.drop()
            self._draft, self._got, self._in_memory = None, 0, False
            self._tell()
            raise ConnectionAbortedError("it comes again") from problem
        self._got += len(piece)
        self._tell()

    def _keep(self) -> None:
        """Have it be a value of this host.

        Raises:
            _FetchError: It cannot be.
        """
        try:
            if self._draft is not None:
                self._draft.keep()
        except OSError as problem:
            raise _FetchError(str(problem)) from problem
