"""A file that the first host passes on to all others, which pass it on themselves: no file system serves a thousand.

Standard library only. Run as a script, `python -I -S spreading.py DESCRIPTOR FILE`, it is on the first host, with a
socket that listens. Its standard input is the word that all hosts of the block know, and its end that of the block. It
knows who has the file (see `sources`), and tells whoever asks where to take it. On the others `taken` does that. A
forked process gives the file on, until nobody has asked for a while.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from rhapsody_parsl.hosts import guard
from rhapsody_parsl.hosts.sealed import LONGEST, Sealed
from rhapsody_parsl.hosts.sources import Place, Sources

__all__ = ("taken",)

_SILENT = 30.0
"""Seconds without a byte after which the other end counts as gone."""
_TRIES_FOR = 300.0
"""Seconds until a host takes the file from the shared file system after all."""
_GIVES_FOR = 60.0
"""Seconds that a host gives the file on after it was asked last."""
_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_TRIES = 3
_MOST_ANSWERED = 64
"""Connections at a time; further ones wait in the kernel."""
_PROVES_WITHIN = 5.0
"""Seconds in which whoever connects proves to be ours."""
_END = b""

Answer = Callable[[Sealed, str, Mapping[str, object]], None]
"""Answers a question over a connection from an address."""


def taken(path: str, source: str, word: bytes) -> bool:
    """Take the file from whoever the first host names, and give it on; False where that cannot be had.

    Args:
        path: Where to put it. It is removed when nobody asks for it any more.
        source: `address:port` of the first host.
        word: What all hosts of the block know.
    """
    address, _, port = source.rpartition(":")
    first, deadline = Place(address, int(port)), time.monotonic() + _TRIES_FOR
    tries, pause = _TRIES, _PAUSE
    with socket.create_server(("", 0), backlog=128) as listener, contextlib.suppress(OSError):
        while tries and time.monotonic() < deadline:
            told = _ask(first, word, {"want": True})
            if "address" not in told:  # all that have it are giving it to others
                select.select([], [], [], pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            elif _had(path, place := Place(str(told["address"]), int(str(told["port"]))), word):
                _give_on(path, listener, word)
                with contextlib.suppress(OSError):  # nobody is sent to us then
                    _ask(first, word, {"over": place, "port": listener.getsockname()[1]})
                return True
            else:
                tries -= 1
                _ask(first, word, {"over": place, "port": 0})
    return False


def _had(path: str, place: Place, word: bytes) -> bool:
    """Whether the file could be taken there; a part of it is removed."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            connection = _connected(place, word)
            with contextlib.closing(connection):
                connection.send(json.dumps({"get": True}).encode())
                while piece := connection.receive():
                    file.write(piece)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return False
    return True


def _connected(place: Place, word: bytes) -> Sealed:
    connection = socket.create_connection(place, _SILENT)
    try:
        return Sealed(connection, word, accepted=False)
    except OSError:
        connection.close()
        raise


def _ask(first: Place, word: bytes, question: "Mapping[str, object]") -> "dict[str, object]":
    with contextlib.closing(_connected(first, word)) as connection:
        connection.send(json.dumps(question).encode())
        answer: dict[str, object] = json.loads(connection.receive())
        return answer


def _give_on(path: str, listener: socket.socket, word: bytes) -> None:
    """Have a process of its own give the file on; it leaves with us, and opens no file but this one."""
    if os.fork():
        return
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        guard.leave_with_parent()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):  # that our carrier reads to their end
            os.dup2(nothing, descriptor)
        _serve(listener, word, lambda connection, _, question: _give(path, connection, question), lasts=_GIVES_FOR)
        os.unlink(path)
    finally:
        os._exit(0)


def _give(path: str, connection: Sealed, question: "Mapping[str, object]") -> None:
    if "get" in question:
        with open(path, "rb") as file:
            while piece := file.read(LONGEST):
                connection.send(piece)
        connection.send(_END)


def _serve(
    listener: socket.socket, word: bytes, answer: Answer, *, lasts: float, lifeline: "int | None" = None
) -> None:
    """Answer whoever knows the word, until nobody has asked for `lasts` s, or the lifeline ends."""
    poller, threads = select.poll(), list[threading.Thread]()
    for descriptor in (listener.fileno(), *([] if lifeline is None else [lifeline])):
        poller.register(descriptor, select.POLLIN)
    while (events := poller.poll(lasts * 1000 if lasts else None)) or threads:
        threads = [thread for thread in threads if thread.is_alive()]
        if any(descriptor == lifeline for descriptor, _ in events):
            return
        if events:
            connection, (address, *_) = listener.accept()
            threads.append(threading.Thread(target=_answer, args=(connection, address, word, answer), daemon=True))
            threads[-1].start()
        if len(threads) >= _MOST_ANSWERED:
            threads[0].join()


def _answer(connection: socket.socket, address: str, word: bytes, answer: Answer) -> None:
    """Answer one question of whoever knows the word; one that breaks off has none."""
    with connection, contextlib.suppress(OSError, ValueError):
        connection.settimeout(_PROVES_WITHIN)
        sealed = Sealed(connection, word, accepted=True)
        connection.settimeout(_SILENT)
        answer(sealed, address, json.loads(sealed.receive()))


class _First:
    """What the first host answers.

    Args:
        path: The file.
        own: Where we are.
    """

    def __init__(self, path: str, own: Place) -> None:
        self._path, self._own, self._lock = path, own, threading.Lock()
        self._sources = Sources(own)

    def __call__(self, connection: Sealed, address: str, question: "Mapping[str, object]") -> None:
        """Give the file, say where it is to be had, or learn who has it."""
        if "get" in question:
            _give(self._path, connection, question)
            return
        connection.send(json.dumps(self._settle(address, question)).encode())

    def _settle(self, address: str, question: "Mapping[str, object]") -> "dict[str, object]":
        with self._lock:
            if "want" in question:
                place = self._sources.take(time.monotonic())
                return place._asdict() if place else {}
            source, port = question["over"], int(str(question["port"]))
            if isinstance(source, list):
                self._sources.over(Place(*source), Place(address, port) if port else None)
            return {}


def main(arguments: "list[str]") -> None:
    """Be the first host until our standard input ends."""
    number, path, address = arguments
    word = os.read(0, 1 << 10)
    listener = socket.socket(fileno=int(number))
    own = Place(address, listener.getsockname()[1])
    _serve(listener, word, _First(path, own), lasts=0.0, lifeline=0)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
