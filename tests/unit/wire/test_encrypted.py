"""Bytes between two hosts: unreadable on the way, and refused from strangers, and when somebody changed them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from rhapsody_parsl.wire.encrypted import Encrypted

WORD = b"a word"
PUBLIC = 32
LENGTHS = [0, 1, 1000, Encrypted.LONGEST]

Story = Callable[[Encrypted, Encrypted, socket.socket, socket.socket], Awaitable[None]]


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for end in (one, other):
        end.setblocking(False)
    return one, other


def between(story: Story, word: bytes = WORD) -> None:
    """Have two ends that agree, and the two sockets between them, of whoever passes on what they say."""

    async def run() -> None:
        one, near, far, other = ends = [*pair(), *pair()]
        try:
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                accepts = group.create_task(Encrypted.over(one, WORD, accepted=True))
                connects = group.create_task(Encrypted.over(other, word, accepted=False))
                for source, target in ((near, far), (far, near)):
                    await passed(source, target, PUBLIC)
            async with asyncio.timeout(20):
                await story(accepts.result(), connects.result(), near, far)
        finally:
            for end in ends:
                end.close()

    asyncio.run(run())


async def said(source: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += await asyncio.get_running_loop().sock_recv(source, length - len(data))
    return data


async def passed(source: socket.socket, target: socket.socket, length: int) -> None:
    await asyncio.get_running_loop().sock_sendall(target, await said(source, length))


def on_the_way(message: bytes) -> int:
    return 4 + len(message) + 16


def test_what_is_sent_arrives_in_both_ways_and_in_order() -> None:
    async def story(one: Encrypted, other: Encrypted, near: socket.socket, far: socket.socket) -> None:
        for length in LENGTHS:
            message = length.to_bytes(4, "big") * (length // 4)
            for speaks, hears, ways in ((one, other, (near, far)), (other, one, (far, near))):
                async with asyncio.TaskGroup() as group:
                    group.create_task(speaks.send(message))
                    group.create_task(passed(*ways, on_the_way(message)))
                    heard = group.create_task(hears.receive())
                assert heard.result() == message

    between(story)


def test_who_is_between_reads_nothing_and_two_equal_messages_look_different() -> None:
    async def story(one: Encrypted, _other: Encrypted, near: socket.socket, _far: socket.socket) -> None:
        message = b"a secret of the block" * 10
        await one.send(message)
        await one.send(message)
        first, second = [await said(near, on_the_way(message)) for _ in range(2)]
        assert message[:8] not in first + second
        assert first[4:] != second[4:]

    between(story)


@pytest.mark.parametrize("speaks_first", ["accepted", "connected"])
def test_who_does_not_know_the_word_is_refused(speaks_first: str) -> None:
    async def story(one: Encrypted, other: Encrypted, near: socket.socket, far: socket.socket) -> None:
        accepted = speaks_first == "accepted"
        speaks, hears, ways = (one, other, (near, far)) if accepted else (other, one, (far, near))
        await speaks.send(b"please")
        await passed(*ways, on_the_way(b"please"))
        with pytest.raises(ConnectionAbortedError, match="does not know the word"):
            await hears.receive()

    between(story, b"another word")


@pytest.mark.parametrize("how", ["changed", "repeated", "left out", "sent back", "too long", "too short", "cut"])
def test_what_somebody_changed_is_refused(how: str) -> None:
    async def story(one: Encrypted, other: Encrypted, near: socket.socket, far: socket.socket) -> None:
        await one.send(b"first")
        await one.send(b"other")
        first, second = [await said(near, on_the_way(b"first")) for _ in range(2)]
        target, hears = (near, one) if how == "sent back" else (far, other)
        right = {"repeated": first, "cut": first}.get(how, b"")
        wrong = {
            "changed": first[:9] + bytes([first[9] ^ 1]) + first[10:], "repeated": first, "left out": second,
            "sent back": first, "too long": (Encrypted.LONGEST + 17).to_bytes(4, "little"), "too short": bytes(8),
            "cut": second[:-1],
        }[how]  # fmt: skip
        await asyncio.get_running_loop().sock_sendall(target, right + wrong)
        if right:
            assert await hears.receive() == b"first"
        if how == "cut":
            target.close()
        with pytest.raises(ConnectionResetError if how == "cut" else ConnectionAbortedError):
            await hears.receive()

    between(story)


def test_a_public_key_that_hides_nothing_is_refused() -> None:
    async def run() -> None:
        one, other = pair()
        with one, other:
            other.send(bytes(PUBLIC))
            with pytest.raises(ConnectionAbortedError, match="no public key"):
                await Encrypted.over(one, WORD, accepted=True)

    asyncio.run(run())
