"""Where an executor's control socket is: a file beside its logs says it, for whoever looks from another terminal.

A Unix socket's path has 107 bytes at most, and not every shared file system has sockets. So the socket may lie in a
private folder on the host's own disk.
"""

import contextlib
import os
import shutil
import socket
from pathlib import Path

import msgspec

from rhapsody_parsl.hosts import folder as private

__all__ = ("FILE", "Place", "announce", "read", "withdraw")

FILE = "control.json"
_SOCKET = "control.sock"
_LONGEST = 104
"""Bytes of a path; the kernel's limit is 107."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an executor listens.

    Attributes:
        label: The executor's name.
        host: Where its process is.
        pid: Its process.
        socket: Path of the socket.
    """

    label: str
    host: str
    pid: int
    socket: str


def announce(folder: Path, label: str) -> tuple[Place, socket.socket]:
    """Listen, and say where.

    Args:
        folder: The executor's, of the run directory.
        label: Its name.

    Raises:
        OSError: There is no place for a socket, or none for the file.
    """
    listener, path = _listen(folder)
    place = Place(label=label, host=socket.gethostname(), pid=os.getpid(), socket=path)
    try:
        private.write_private(str(folder / FILE), msgspec.json.encode(place).decode())
    except OSError:
        listener.close()
        _remove(path, folder)
        raise
    return place, listener


def withdraw(folder: Path, place: Place) -> None:
    """Remove the socket and the file; idempotent."""
    (folder / FILE).unlink(missing_ok=True)
    _remove(place.socket, folder)


def read(folder: Path) -> Place | None:
    """Return what is announced in a folder; None when nothing is, or it cannot be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Place)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def _listen(folder: Path) -> tuple[socket.socket, str]:
    beside = str(folder / _SOCKET)
    if len(os.fsencode(beside)) <= _LONGEST:
        with contextlib.suppress(OSError):  # a file system without sockets
            return _bound(beside), beside
    apart = private.make_for_sockets()
    try:
        return _bound(path := str(Path(apart) / _SOCKET)), path
    except OSError:
        shutil.rmtree(apart, ignore_errors=True)
        raise


def _bound(path: str) -> socket.socket:
    """Return a listener that only we can connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.fchmod(listener.fileno(), 0o600)  # what Linux gives the file; an umask would be all threads'
        listener.bind(path)
        listener.listen(16)
    except OSError:
        listener.close()
        raise
    return listener


def _remove(path: str, folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
    if Path(path).parent != folder:
        with contextlib.suppress(KeyError):
            os.close(private.hold(str(Path(path).parent)))
        shutil.rmtree(Path(path).parent, ignore_errors=True)
