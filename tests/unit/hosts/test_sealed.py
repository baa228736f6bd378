"""Bytes between two hosts: whoever does not know the word is refused, and so is what somebody changed."""

import socket
import threading
from collections.abc import Callable

import pytest

from rhapsody_parsl.hosts.sealed import LONGEST, Sealed

WORD = b"a word"


def ends(word: bytes = WORD) -> tuple[socket.socket, socket.socket, list[Sealed | OSError]]:
    """Return both sockets, and what the end that accepts makes of the other one, which says this word."""
    here, there = socket.socketpair()
    for end in (here, there):
        end.settimeout(10)
    found: list[Sealed | OSError] = []

    def accept() -> None:
        try:
            found.append(Sealed(here, WORD, accepted=True))
        except OSError as problem:
            found.append(problem)

    thread = threading.Thread(target=accept)
    thread.start()
    found.append(Sealed(there, word, accepted=False))
    thread.join()
    return here, there, found


def pair() -> tuple[Sealed, Sealed]:
    _, _, found = ends()
    one, other = found
    assert isinstance(one, Sealed)
    assert isinstance(other, Sealed)
    return one, other


def test_what_is_sent_arrives_in_both_ways_and_in_order() -> None:
    one, other = pair()
    for message in (b"first", b"", bytes(1000)):
        one.send(message)
        assert other.receive() == message
        other.send(message + b"!")
        assert one.receive() == message + b"!"
    one.close()
    with pytest.raises(ConnectionResetError):
        other.receive()
    other.close()


def test_who_does_not_know_the_word_is_refused() -> None:
    here, there, found = ends(b"another word")
    here.close()
    there.close()
    assert any(isinstance(each, ConnectionAbortedError) for each in found)


def hear_all(end: Sealed) -> None:
    while True:
        end.receive()


def flip(message: bytes) -> list[bytes]:
    return [message[:6] + bytes([message[6] ^ 1]) + message[7:]]


def again(message: bytes) -> list[bytes]:
    return [message, message]


def huge(_message: bytes) -> list[bytes]:
    return [(LONGEST + 1).to_bytes(4, "little")]


@pytest.mark.parametrize("meddle", [flip, again, huge])
def test_what_somebody_changed_on_the_way_is_refused(meddle: Callable[[bytes], list[bytes]]) -> None:
    here, there, found = ends()
    sealed = {id(each._connection): each for each in found if isinstance(each, Sealed)}
    sender, receiver = sealed[id(there)], sealed[id(here)]
    between, end = socket.socketpair()
    sender._connection = between
    sender.send(b"some bytes")
    message = end.recv(1000)
    for part in meddle(message):
        there.sendall(part)
    with pytest.raises(ConnectionAbortedError):
        hear_all(receiver)
    for each in (here, there, between, end):
        each.close()
