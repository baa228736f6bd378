"""Where the values of a host are given to other hosts, and how they are had from there: from one to the other directly.

Who wants a value asks for its pieces, a few ahead of what it has. So nobody holds more than these in memory, and who
gives keeps nothing of who asks. Both ends show the secret key of the block's agents, and all is encrypted.
"""

import asyncio
import secrets
from collections.abc import Callable

import msgspec

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.hosts.data_draft import DataDraft
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.wire.gate import Proof
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection
from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("ValuePort",)

_PIECE = 1 << 20
_AHEAD = 6
"""Pieces that are asked for and have not come."""
_SILENCE = 5.0
"""Seconds in which no piece comes, after which the other host counts as unreachable."""

Done = Callable[[str], None]
"""Called with "" when a value is there, or with why it is not."""


class _Wanted(msgspec.Struct, array_like=True, frozen=True):
    """A piece that is wanted."""

    key: str
    start: int


class _Given(msgspec.Struct, array_like=True, frozen=True):
    """A piece that follows; of a value that is not there the size is -1."""

    start: int
    size: int


_encode = msgspec.msgpack.Encoder().encode
_wanted, _given = msgspec.msgpack.Decoder(_Wanted).decode, msgspec.msgpack.Decoder(_Given).decode


class ValuePort:
    """That of a host, on an event loop.

    Args:
        files: The values of the host.
        host: What other hosts call this one.
        proof: The one that all hosts of the block have.
        bind: Where to listen.
    """

    def __init__(self, files: DataFiles, host: str, proof: Proof, bind: str = "tcp://0.0.0.0") -> None:
        self._files, self._host, self._proof, self._bind = files, host, proof, bind
        self._loop = asyncio.get_running_loop()
        self._listener: TcpListener | None = None
        self._fetches: dict[str, _Fetch] = {}

    def open(self) -> str:
        """Give values from now on; return the address. Idempotent."""
        if self._listener is None:
            self._listener = TcpListener(self._bind, self._give, self._proof, self._loop)
        return f"tcp://{self._host}:{self._listener.port}"

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
        self._fetches[key] = _Fetch(self._files, key, address, proof=self._proof, loop=self._loop, over=over)

    def drop(self, keys: list[str]) -> None:
        """Nobody needs these any more."""
        for key in keys:
            if fetch := self._fetches.pop(key, None):
                fetch.close()

    def close(self) -> None:
        """Give and have nothing more; idempotent."""
        self.drop(list(self._fetches))
        if self._listener is not None:
            self._listener.close()

    def _give(self, peer: str, frames: list[bytes]) -> None:
        try:
            wanted = _wanted(frames[0])
        except Exception as problem:  # what bytes of anybody's can raise, msgspec does not list
            raise MalformedFrame(f"it wants nothing of ours ({type(problem).__name__})") from problem
        try:
            piece, size = self._files.piece(wanted.key, wanted.start, _PIECE)
        except OSError:
            piece, size = b"", -1
        if self._listener is not None:
            self._listener.send(peer, [_encode(_Given(wanted.start, size)), piece])
            if wanted.start + len(piece) >= size:
                self._listener.forget(peer)


class _Fetch:
    """A value that is on its way to this host.

    Args:
        files: Where it goes.
        key: The value's.
        address: See `ValuePort.fetch`.
        proof: The block's.
        loop: Ours.
        over: Called when it is here, or cannot be had.
    """

    def __init__(
        self, files: DataFiles, key: str, address: str, *, proof: Proof, loop: asyncio.AbstractEventLoop, over: Done
    ) -> None:
        self._files, self._key, self._over, self._loop = files, key, over, loop
        self._draft: DataDraft | None = None
        self._got = self._asked = 0
        self._connection = AsyncTcpConnection(
            address, secrets.token_hex(8), proof, loop,
            receive=self._receive, connected=self._note_connection, hung_up=lambda: self._end(UNREACHABLE),
        )  # fmt: skip
        self._silence = loop.call_later(_SILENCE, self._end, UNREACHABLE)

    def _note_connection(self, there: bool) -> None:
        if there:
            self._asked = self._got  # what was asked for before is lost
            self._ask(1 if self._draft is None else _AHEAD)

    def _ask(self, ahead: int) -> None:
        while self._asked < self._got + ahead * _PIECE:
            if not self._connection.send([_encode(_Wanted(self._key, self._asked))]):
                return  # it is asked again when the connection is back
            self._asked += _PIECE

    def _receive(self, frames: list[bytes]) -> None:
        try:
            self._take(_given(frames[0]), frames[1])
        except OSError as problem:
            self._end(str(problem))
        except (msgspec.MsgspecError, IndexError):
            self._end(UNREACHABLE)

    def _take(self, given: _Given, piece: bytes) -> None:
        """Write a piece.

        Raises:
            OSError: There is no room.
        """
        if given.size < 0:
            self._end(NOT_THERE)
        elif given.start == self._got:
            self._silence.cancel()
            self._silence = self._loop.call_later(_SILENCE, self._end, UNREACHABLE)
            if self._draft is None:
                self._draft = self._files.begin(self._key, given.size)
            self._draft.write(piece)
            self._got += len(piece)
            if self._draft.is_whole:
                self._draft.keep()
                self._end("")
            else:
                left = -(-(given.size - self._got) // _PIECE)
                self._ask(min(_AHEAD, left))

    def _end(self, problem: str) -> None:
        self.close()
        self._over(problem)

    def close(self) -> None:
        """Have it no more; idempotent."""
        self._silence.cancel()
        self._connection.close()
        if self._draft is not None:
            self._draft.drop()
