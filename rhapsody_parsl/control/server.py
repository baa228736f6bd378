"""The executor's end of its control socket: one thread, which sleeps while nobody asks."""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from rhapsody_parsl.control.messages import Answer, Refused, Request, View, refusal
from rhapsody_parsl.control.place import announce, withdraw
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("ControlServer",)

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds that a client has for its request, and for taking the answer."""
_MOST_CLIENTS = 32
_LARGEST = 1 << 20
"""Bytes of a request: it may name many tasks."""
_LEAVES_WITHIN = 5.0
_SHUT = 0.5
"""Seconds."""
_CREDENTIALS = struct.Struct("3i")


class ControlServer(threading.Thread):
    """Listens on the control socket and answers, one request per connection; a request ends with the client's half.

    Whoever says nothing, too much or rubbish is hung up on. What takes a while is answered one after the other, on a
    second thread that starts with the first such request. So a view is answered meanwhile.

    Args:
        folder: The executor's, of the run directory.
        label: Its name.
        answer: Answers; called on this thread for a `View`, on the second one for all else.

    Raises:
        OSError: There is no place for the socket.
    """

    def __init__(self, folder: Path, label: str, answer: Callable[[Request], Answer]) -> None:
        super().__init__(name="rhapsody-control", daemon=True)
        self._folder, self._answer = folder, answer
        self._decode = msgspec.json.Decoder(Request).decode
        self._clients: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._slow = ThreadPoolExecutor(1, "rhapsody-control-slow")
        try:
            self._place, self._listener = announce(folder, label)
        except OSError:
            self._loop.close()
            raise

    def run(self) -> None:
        """Serve until closed."""
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    def close(self) -> None:
        """Stop listening and remove the socket; idempotent. An answer that is being made is not waited for."""
        withdraw(self._folder, self._place)
        if self.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._over.set)
            self.join(_LEAVES_WITHIN)
        elif not self._loop.is_closed():
            self._loop.close()
        self._listener.close()
        self._slow.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        self._open()
        await self._over.wait()
        self._loop.remove_reader(self._listener)
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _open(self) -> None:
        if not self._over.is_set():
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as problem:  # no descriptor is left: whoever knocks waits
            log.warning("the control socket lets nobody in for %g s: %s", _SHUT, problem)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_SHUT, self._open)
            return
        if len(self._clients) >= _MOST_CLIENTS or not _is_ours(connection):
            connection.close()
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._meet(connection))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        task.add_done_callback(lambda _: connection.close())  # also of one that is cancelled before it begins

    async def _meet(self, connection: socket.socket) -> None:
        """Serve a client, whatever it is."""
        try:
            async with asyncio.timeout(_PATIENCE):
                said = await self._read_all(connection)
            answer = msgspec.json.encode(await self._answered(said))
            async with asyncio.timeout(_PATIENCE):
                await self._loop.sock_sendall(connection, answer)
        except (OSError, TimeoutError) as problem:
            log.info("a client of the control socket is hung up on: %r", problem)

    async def _read_all(self, connection: socket.socket) -> bytes:
        """Return what a client says.

        Raises:
            OSError: It is too much.
        """
        said = b""
        while piece := await self._loop.sock_recv(connection, 1 << 16):
            said += piece
            if len(said) > _LARGEST:
                raise OSError(f"a request of more than {_LARGEST} bytes")
        return said

    async def _answered(self, said: bytes) -> Answer:
        try:
            request: Request = self._decode(said)
        except msgspec.DecodeError as problem:
            return Refused(error="MalformedRequest", sentence=f"This is no request: {problem}.")
        try:
            if isinstance(request, View):
                return self._answer(request)
            return await self._loop.run_in_executor(self._slow, functools.partial(self._answer, request))
        except RhapsodyError as error:
            return refusal(error)
        except Exception as problem:
            log.exception("%s could not be answered", request)
            return Refused(error=type(problem).__name__, sentence=f"The executor could not answer: {problem!r}.")


def _is_ours(connection: socket.socket) -> bool:
    """Whether a process of our user is at the other end."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(said)[1] == os.geteuid())
