"""Who may speak at a listener: whoever has the proof of the line, under a name that it then holds."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from rhapsody_parsl.wire.curve import Keys, quiet_socket
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.stream import AsyncStreamConnection, StreamListener
from rhapsody_parsl.wire.tcp import unpacked
from rhapsody_parsl.wire.tcp_listener import TcpListener

HEAD = msgspec.msgpack.encode([["7/a", []]])


@pytest.fixture(params=["token", "keys"])
def proof(request: pytest.FixtureRequest, tmp_path: Path) -> Proof:
    return Token.create() if request.param == "token" else Keys.create(tmp_path / "keys")


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Listener:
    """A TCP listener and all that it heard; "bad" for a body is none."""

    def __init__(self, proof: Proof) -> None:
        self.heard: list[tuple[str, list[bytes]]] = []
        self.listener = TcpListener("tcp://127.0.0.1", self._take, proof, asyncio.get_running_loop())
        self._context: zmq.Context[Any] = zmq.Context()
        self._knocking: list[zmq.Socket[bytes]] = []

    def _take(self, name: str, frames: list[bytes]) -> None:
        if frames == [b"bad"]:
            raise MalformedFrame("bad")
        self.heard.append((name, frames))

    def knock(self, proof: Proof | None, *frames: bytes, name: bytes = b"") -> "zmq.Socket[bytes]":
        peer = quiet_socket(self._context, zmq.DEALER)
        self._knocking.append(peer)
        if name:
            peer.setsockopt(zmq.IDENTITY, name)
        if proof:
            proof.unlock(peer)
        peer.connect(self.listener.endpoint)
        peer.send_multipart(frames)
        return peer

    def close(self) -> None:
        self.listener.close()
        for peer in self._knocking:
            peer.close()
        self._context.term()


def at_a_listener(proof: Proof, act: Callable[[Listener], Awaitable[None]]) -> None:
    async def run() -> None:
        listener = Listener(proof)
        try:
            await act(listener)
        finally:
            listener.close()

    asyncio.run(run())


def test_only_who_has_the_proof_is_heard(proof: Proof, tmp_path: Path) -> None:
    async def act(listener: Listener) -> None:
        for other in (None, Token.create(), Keys.create(tmp_path / "others")):
            for frames in ([HEAD, b"x"], [b""], [bytes(17)], [HEAD, b"bad"]):
                listener.knock(other, *frames, name=b"7/a")
        listener.knock(proof, HEAD, b"ours")
        await until(lambda: listener.heard)
        await asyncio.sleep(0.2)
        assert listener.heard == [("7/a", [b"ours"])]

    at_a_listener(proof, act)


def test_bytes_that_are_no_zeromq_do_no_harm(proof: Proof) -> None:
    async def act(listener: Listener) -> None:
        strangers = [socket.create_connection(("127.0.0.1", listener.listener.port)) for _ in range(200)]
        for number, stranger in enumerate(strangers):
            stranger.sendall(
                (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03", b"")[number % 4]
            )
        listener.knock(proof, HEAD, b"ours")
        await until(lambda: listener.heard)
        for stranger in strangers:
            stranger.close()
        listener.knock(proof, msgspec.msgpack.encode([["8/b", [b"too"]]]))
        await until(lambda: len(listener.heard) == 2)

    at_a_listener(proof, act)


def test_a_peer_that_sends_what_is_no_message_is_told_and_the_others_are_heard(proof: Proof) -> None:
    async def act(listener: Listener) -> None:
        for frames, name in (
            ([b""], ""),
            ([b"\xc1"], ""),
            ([HEAD, b"bad"], "7/a"),
            ([msgspec.msgpack.encode([7])], ""),
            ([msgspec.msgpack.encode([]), b"x"], ""),
            ([b"\xdd\xff\xff\xff\xff"], ""),
        ):
            peer = listener.knock(proof, *frames)
            await until(lambda peer=peer: peer.poll(0))  # type: ignore[misc]  # each loop's own
            assert unpacked(peer.recv_multipart()) == [(name, [])]
        listener.knock(proof, HEAD, b"ours")
        await until(lambda: ("7/a", [b"ours"]) in listener.heard)

    at_a_listener(proof, act)


def test_a_name_is_where_it_was_last_heard(proof: Proof) -> None:
    """So who comes again on a new connection takes it along, and ZeroMQ never has to hand a connection over."""

    async def act(listener: Listener) -> None:
        first = listener.knock(proof, HEAD, b"1")
        await until(lambda: len(listener.heard) == 1)
        second = listener.knock(proof, HEAD, b"2")
        await until(lambda: len(listener.heard) == 2)
        assert listener.listener.send("7/a", [b"back"])
        await until(lambda: second.poll(0))
        assert (unpacked(second.recv_multipart()), first.poll(50)) == ([("7/a", [b"back"])], 0)
        assert not listener.listener.send("nobody", [b"x"])

    at_a_listener(proof, act)


@pytest.mark.parametrize("said", ["right", "wrong", "nothing"])
def test_the_word_is_asked_for_on_a_socket_of_one_host_too(said: str) -> None:
    token = Token("right")

    async def run() -> None:
        heard: list[tuple[str, list[bytes]]] = []
        ended: list[bool] = []
        address = f"@rhapsody-test-{Token.create().word}"
        loop = asyncio.get_running_loop()
        listener = StreamListener(address, lambda name, frames: heard.append((name, frames)), loop, token=token)
        shown = Token(said) if said != "nothing" else None
        peer = AsyncStreamConnection.connect(
            address, "7/a", shown, loop, receive=lambda frames: None, ended=lambda: ended.append(True)
        )
        try:
            peer.send([b"x"])
            await until(lambda: heard or ended)
            assert (heard, ended) == (([("7/a", [b"x"])], []) if said == "right" else ([], [True]))
        finally:
            peer.close()
            listener.close()

    asyncio.run(run())
