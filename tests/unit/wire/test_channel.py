import asyncio
import stat
from pathlib import Path

import pytest
import zmq

from rhapsody_parsl.wire.channel import Hub, Keys, Spoke, quiet_socket
from rhapsody_parsl.wire.messages import Done, FromBackend, Quit, Ready, Result


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


def test_a_hub_and_a_spoke_over_encrypted_tcp(keys: Keys) -> None:
    async def converse() -> None:
        heard: list[tuple[str, FromBackend]] = []
        hub = Hub("tcp://127.0.0.1:*", lambda peer, message: heard.append((peer, message)), keys)
        spoke = Spoke(hub.endpoint, "worker-1", keys)
        try:
            spoke.send(Ready("host", 7))
            spoke.send(Done(3, [Result(1, 0, b"x" * 1_000_000)]))
            await until(lambda: len(heard) == 2)
            assert heard == [("worker-1", Ready("host", 7)), ("worker-1", Done(3, [Result(1, 0, b"x" * 1_000_000)]))]
            hub.send("nobody", Quit())
            hub.send("worker-1", Quit())
            assert await asyncio.to_thread(spoke.receive) == Quit()
        finally:
            spoke.close()
            hub.close()
            hub.close()

    asyncio.run(converse())


@pytest.mark.parametrize("stranger", ["no keys", "own keys"])
def test_a_client_without_the_key_is_refused(tmp_path: Path, keys: Keys, stranger: str) -> None:
    async def knock() -> None:
        heard: list[FromBackend] = []
        hub = Hub("tcp://127.0.0.1:*", lambda _peer, message: heard.append(message), keys)
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
