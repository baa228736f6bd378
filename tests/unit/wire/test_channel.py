import asyncio
import stat
from pathlib import Path

import pytest

from rhapsody_parsl.wire.channel import Hub, Spoke
from rhapsody_parsl.wire.curve import Keys
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


def test_a_hub_and_a_spoke(tmp_path: Path) -> None:
    large = Done(3, [Result(1, 0, b"x" * 3_000_000), Result(2, 0, b"small"), Result(3, 0, b"y" * 1_000_000)])
    work = Work(4, "call", (0,), {}, [Task(5, b"spec", b"z" * 2_000_000)])

    async def converse() -> None:
        heard: list[tuple[str, FromBackend]] = []
        hub = Hub(f"ipc://{tmp_path}/hub", lambda peer, message: heard.append((peer, message)))
        spoke = Spoke(hub.endpoint, "worker-1")
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


def test_a_peer_whose_words_break_who_hears_them_is_heard_no_more_and_others_are(tmp_path: Path) -> None:
    async def converse() -> None:
        told, heard = list[str](), list[str]()

        def take(peer: str, message: FromBackend) -> None:
            if isinstance(message, Returned):
                raise TypeError(message.run)
            heard.append(peer)

        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        hub = Hub(f"ipc://{tmp_path}/hub", take)
        spokes = [Spoke(hub.endpoint, name) for name in ("one", "other")]
        try:
            spokes[0].send(Returned(3, []))
            async with asyncio.timeout(5):
                assert await asyncio.to_thread(spokes[0].receive) is None, "its process leaves"
            spokes[1].send(Ready("host", 7))
            await until(lambda: heard == ["other"])
            assert told == ["Returned of one could not be taken in"]
        finally:
            for spoke in spokes:
                spoke.close()
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
