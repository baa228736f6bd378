"""A value that comes to this host from another one: from where it broke off, when the connection was cut."""

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import msgspec

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.hosts.data_draft import DataDraft
from rhapsody_parsl.hosts.data_files import DataFiles

if TYPE_CHECKING:  # what encrypts is loaded with the first value that moves
    from rhapsody_parsl.wire.encrypted import Encrypted

__all__ = ("SILENCE", "ValueFetch", "Wanted")

SILENCE = 5.0
"""Seconds in which no piece comes, after which the other host counts as unreachable."""
_PAUSE = 0.2
"""Seconds until a connection is tried again."""


class Wanted(msgspec.Struct, array_like=True, frozen=True):
    """What is said first: which value is wanted, from which byte on. The answer is its size, and then the bytes."""

    key: str
    start: int


_encode = msgspec.msgpack.Encoder().encode
_size = msgspec.msgpack.Decoder(int).decode


class _FetchError(Exception):
    """A value cannot be here, for this reason."""


class ValueFetch:
    """That of one value.

    Args:
        files: Where it goes.
        key: The value's.
        address: Of the port that gives it.
        word: What both ends know.
    """

    def __init__(self, files: DataFiles, key: str, address: str, word: bytes) -> None:
        self._files, self._key, self._word = files, key, word
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._draft: DataDraft | None = None
        self._got, self._in_memory = 0, True

    async def run(self) -> str:
        """Return "" when it is here, or why it is not; cancelled, nothing of it stays."""
        try:
            async with asyncio.timeout(SILENCE) as limit:
                while not await self._comes(limit):
                    await asyncio.sleep(_PAUSE)
            self._keep()
        except TimeoutError:
            return UNREACHABLE
        except _FetchError as problem:
            return str(problem)
        finally:
            if self._draft is not None:
                self._draft.drop()
        return ""

    async def _comes(self, limit: asyncio.Timeout) -> bool:
        """Have what is missing of it; False where the connection breaks before, or is none of ours.

        Raises:
            _FetchError: For good.
        """
        from rhapsody_parsl.wire.encrypted import Encrypted  # noqa: PLC0415 - loaded with the first value that moves

        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, msgspec.MsgspecError), socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, self._address)
            way = await Encrypted.over(connection, self._word, accepted=False)
            draft, left = await self._begin(way)
            while left:
                piece = await way.receive()
                self._write(draft, piece)
                left -= len(piece)
                limit.reschedule(loop.time() + SILENCE)
                await asyncio.sleep(0)  # where there is always something, a socket makes nobody wait
            return True
        return False

    async def _begin(self, way: "Encrypted") -> tuple[DataDraft, int]:
        """Ask for it; return where it goes, and how many bytes are still to come.

        Raises:
            OSError: The other end is gone.
            _FetchError: There is none, or no room for it.
        """
        await way.send(_encode(Wanted(self._key, self._got)))
        size = _size(await way.receive())
        if size < self._got:
            raise _FetchError(NOT_THERE)
        if self._draft is None:
            try:
                self._draft = self._files.begin(self._key, size, in_memory=self._in_memory)
            except OSError as problem:
                raise _FetchError(str(problem)) from problem
        return self._draft, size - self._got

    def _write(self, draft: DataDraft, piece: bytes) -> None:
        """Write a piece; what finds no room in memory comes again, onto the disk.

        Raises:
            ConnectionAbortedError: It is to come again.
            _FetchError: It has no more pieces, or there is no room for it.
        """
        if not piece:
            raise _FetchError(NOT_THERE)
        try:
            draft.write(piece)
        except OSError as problem:
            if not self._in_memory:
                raise _FetchError(str(problem)) from problem
            draft.drop()
            self._draft, self._got, self._in_memory = None, 0, False
            raise ConnectionAbortedError("it comes again") from problem
        self._got += len(piece)

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
