import asyncio
import contextlib
import stat
from pathlib import Path
from typing import Any

import pytest
import zmq

from rhapsody_parsl.wire.channel import Hub, Spoke
from rhapsody_parsl.wire.curve import Keys, quiet_socket
from rhapsody_parsl.wire.engine_messages import Abort
from rhapsody_parsl.wire.messages import Done, FromBackend, Quit, Ready, Result, Returned, Task, Work


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys.create(tmp_path / "keys")


def test_keys_are_private_and_fresh(tmp_path: Path, keys: Keys) -> None:
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secrets = sorted(folder.glob("*.key_secret"))
    assert [path.name for path in secrets] == ["client.key_secret", "server.key_secret"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert Keys.load(folder) == keys
    assert Keys.create(tmp_path / "others") != keys


def test_keys_that_others_can_read_are_refused(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "keys").chmod(0o750)
    with pytest.raises(PermissionError, match="chmod 700"):
        Keys.load(tmp_path / "keys")


async def until(condition: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]  # a callable
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_hub_and_a_spoke(tmp_path: Path, keys: Keys, kind: str) -> None:
    large = Done(3, [Result(1, 0, b"x" * 3_000_000), Result(2, 0, b"small"), Result(3, 0, b"y" * 1_000_000)])
    work = Work(4, "call", (0,), {}, [Task(5, b"spec", b"z" * 2_000_000)])

    async def converse() -> None:
        heard: list[tuple[str, FromBackend]] = []
        endpoint = f"ipc://{tmp_path}/hub" if kind == "unix" else "tcp://127.0.0.1"
        hub = Hub(endpoint, lambda peer, message: heard.append((peer, message)), keys)
        spoke = Spoke(hub.endpoint, "worker-1", keys)
        try:
            assert spoke.receive_nowait() is None
            spoke.send(Ready("host", 7))
            await asyncio.to_thread(spoke.send, large)
            spoke.send(Returned(3, [9]))
            await until(lambda: len(heard) == 3)
            assert heard == [("worker-1", Ready("host", 7)), ("worker-1", large), ("worker-1", Returned(3, [9]))]
            hub.send("nobody", Quit())
            for message in (work, Quit()):
                hub.send("worker-1", message)
                assert await asyncio.to_thread(spoke.receive) == message
        finally:
            spoke.close()
            spoke.close()
            hub.close()
            hub.close()

    asyncio.run(converse())


def test_many_messages_to_a_peer_that_is_slow_keep_their_order(tmp_path: Path) -> None:
    async def converse() -> None:
        hub = Hub(f"ipc://{tmp_path}/hub", lambda _peer, _message: None)
        spoke = Spoke(hub.endpoint, "slow")
        try:
            await asyncio.sleep(0.05)
            for number in range(3000):
                hub.send("slow", Abort([number] * (number % 500)))
            for number in range(3000):
                assert await asyncio.to_thread(spoke.receive) == Abort([number] * (number % 500))
        finally:
            spoke.close()
            hub.close()

    asyncio.run(converse())


def test_last_messages_are_heard_and_the_end_of_either_is_seen(tmp_path: Path) -> None:
    async def part() -> None:
        heard: list[FromBackend] = []
        hub = Hub(f"ipc://{tmp_path}/hub", lambda _peer, message: heard.append(message))
        first, second = Spoke(hub.endpoint, "first"), Spoke(hub.endpoint, "second")
        first.send(Ready("host", 1))
        first.send(Returned(1, [2]))
        first.close()
        hub.drain()
        assert heard == [Ready("host", 1), Returned(1, [2])]
        hub.send("first", Quit())  # nobody is there
        gone = asyncio.create_task(asyncio.to_thread(second.wait_gone))
        waits = asyncio.create_task(asyncio.to_thread(second.receive))
        await asyncio.sleep(0.05)
        assert not gone.done()
        assert not waits.done()
        hub.close()
        assert await waits is None
        assert second.receive_nowait() is None
        await gone
        second.send(Returned(1, [3]))  # nothing happens
        second.close()

    asyncio.run(part())


def test_a_name_that_comes_back_is_the_newest(tmp_path: Path) -> None:
    async def come_back() -> None:
        hub = Hub(f"ipc://{tmp_path}/hub", lambda _peer, _message: None)
        old, new = Spoke(hub.endpoint, "worker"), Spoke(hub.endpoint, "worker")
        hub.drain()
        hub.send("worker", Quit())
        assert await asyncio.to_thread(new.receive) == Quit()
        assert old.receive_nowait() is None
        old.close()
        hub.drain()
        hub.send("worker", Quit())
        assert await asyncio.to_thread(new.receive) == Quit()
        new.close()
        hub.close()

    asyncio.run(come_back())


class Way:
    """A way to a hub: one of its connections may be slow, and each can be cut; they are numbered as they come."""

    def __init__(self, port: int, slow: int | None = None) -> None:
        self._port, self._slow = port, slow
        self._count = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._carriers: list[asyncio.Task[None]] = []

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._carry_both, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _carry_both(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        self._count += 1
        if self._count - 1 == self._slow:
            await asyncio.sleep(0.5)
        far, far_end = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [near_end, far_end]
        for reader, writer in ((near, far_end), (far, near_end)):
            self._carriers.append(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)

    def cut(self, connection: int) -> None:
        for writer in self._writers[2 * connection : 2 * connection + 2]:
            writer.transport.abort()

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._carriers)


@pytest.mark.parametrize("slow", [0, 1])
def test_a_far_spoke_is_heard_once_it_can_be_answered(keys: Keys, slow: int) -> None:
    """It has two connections, which are made in any order: an answer to the first word must not go to nobody."""

    async def answer() -> None:
        heard: list[FromBackend] = []

        def receive(peer: str, message: FromBackend) -> None:
            heard.append(message)
            hub.send(peer, Abort([len(heard)]))

        hub = Hub("tcp://127.0.0.1", receive, keys)
        way = Way(int(hub.endpoint.rpartition(":")[2]), slow)
        spoke = Spoke(await way.open(), "worker-1", keys)
        try:
            spoke.send(Ready("host", 1))
            spoke.send(Returned(1, [2]))
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(spoke.receive) == Abort([1])
                assert await asyncio.to_thread(spoke.receive) == Abort([2])
            assert heard == [Ready("host", 1), Returned(1, [2])]
        finally:
            spoke.close()
            hub.close()
            await way.close()

    asyncio.run(answer())


@pytest.mark.parametrize("connection", [0, 1])
@pytest.mark.parametrize("waits_for", ["message", "end"])
def test_a_far_spoke_ends_with_either_of_its_connections(keys: Keys, connection: int, waits_for: str) -> None:
    """A new one could be made; but whether something was lost in between, nobody knows."""

    async def end() -> None:
        heard: list[FromBackend] = []
        hub = Hub("tcp://127.0.0.1", lambda _peer, message: heard.append(message), keys)
        way = Way(int(hub.endpoint.rpartition(":")[2]))
        spoke = Spoke(await way.open(), "worker-1", keys)
        waits = asyncio.create_task(asyncio.to_thread(spoke.receive if waits_for == "message" else spoke.wait_gone))
        try:
            spoke.send(Ready("host", 1))
            await until(lambda: heard)
            assert not waits.done()
            way.cut(connection)
            async with asyncio.timeout(10):
                assert await waits is None
        finally:
            spoke.close()
            hub.close()
            await way.close()

    asyncio.run(end())


def test_nothing_is_kept_of_a_far_peer_that_is_forgotten(keys: Keys) -> None:
    async def converse() -> None:
        heard: list[str] = []
        hub = Hub("tcp://127.0.0.1", lambda peer, _: heard.append(peer), keys)
        try:
            for number in range(3):
                spoke = Spoke(hub.endpoint, f"worker-{number}", keys)
                await asyncio.to_thread(spoke.send, Ready("host", 7))
                await until(lambda: len(heard) == number + 1)  # noqa: B023 - waited for here
                spoke.close()
            listener: Any = hub._listener
            assert set(listener._routes) == {"worker-0", "worker-1", "worker-2"}
            for number in range(3):
                hub.forget(f"worker-{number}")
            assert not listener._routes
            assert not listener._early
        finally:
            hub.close()

    asyncio.run(converse())


def test_tcp_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="needs keys"):
        Spoke("tcp://127.0.0.1:1", "worker")


@pytest.mark.parametrize("stranger", ["no keys", "own keys"])
def test_a_client_without_the_key_is_refused(tmp_path: Path, keys: Keys, stranger: str) -> None:
    async def knock() -> None:
        heard: list[FromBackend] = []
        hub = Hub("tcp://127.0.0.1", lambda _peer, message: heard.append(message), keys)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = quiet_socket(context, zmq.DEALER)
        if stranger == "own keys":
            socket.curve_serverkey = keys.server[0]
            socket.curve_publickey, socket.curve_secretkey = Keys.create(tmp_path / "own").client
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        try:
            socket.connect(hub.endpoint)
            socket.send(b"let me in")
            await asyncio.sleep(0.5)
            assert not monitor.poll(0), "the handshake did not succeed"
            friend = Spoke(hub.endpoint, "friend", keys)
            friend.send(Ready("host", 1))
            await until(lambda: heard)
            friend.close()
            assert heard == [Ready("host", 1)]
        finally:
            socket.disable_monitor()
            monitor.close()
            socket.close()
            context.term()
            hub.close()

    asyncio.run(knock())
