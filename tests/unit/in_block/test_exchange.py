"""A runtime's conversation with the processes of the pilot's own host, and what goes to those of others."""

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.large_payloads import folder_of
from rhapsody_parsl.hosts.data_place import payloads_of
from rhapsody_parsl.in_block.exchange import Exchange, Peer
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import (
    RESULT,
    ChildrenEnded,
    Deliver,
    Exited,
    FromBackend,
    Result,
    Returned,
    Task,
    ToBackend,
    Work,
)
from rhapsody_parsl.wire.shared_memory import SharedMemory, deliver
from testing.nodes import make_context, make_node


def test_what_is_said_after_others_comes_after_all_they_said(tmp_path: Path) -> None:
    async def run() -> None:
        said: list[str] = []
        context = make_context(tmp_path, None, make_node("n0"))
        workers = Exchange(context, "workers", lambda peer, _: said.append(peer))
        heads = Exchange(context, "heads", lambda peer, _: said.append(peer), after=workers)
        workers.start()
        heads.start()
        head = Spoke(heads.endpoint, "head")
        head.send(Exited("w0", "why"))
        async with asyncio.timeout(5):
            while not said:
                await asyncio.sleep(0.01)
        worker = Spoke(workers.endpoint, "w1")
        worker.send(Returned(1, []))
        worker.close()
        head.send(Exited("w1", "why"))
        async with asyncio.timeout(5):
            while len(said) < 3:
                await asyncio.sleep(0.01)
        assert said == ["head", "w1", "head"]
        head.close()
        heads.stop()
        workers.stop()

    asyncio.run(run())


def test_a_peer_on_another_host_whose_words_break_who_hears_them_is_heard_no_more(tmp_path: Path) -> None:
    hung_up: list[tuple[str, str]] = []

    class Far:
        def hang_up(self, exchange: str, peer: str) -> None:
            hung_up.append((exchange, peer))

    def take(peer: str, message: FromBackend) -> None:
        if isinstance(message, Returned):
            raise TypeError(message.run)

    async def run() -> None:
        exchange = Exchange(make_context(tmp_path, None, make_node("n0")), "workers", take)
        for peer, message in (("w0", Returned(1, [])), ("w1", Exited("w1", "why"))):
            exchange._receive_far(cast("Host", Far()), peer, encode(message))

    asyncio.run(run())
    assert hung_up == [("workers", "w0")]


def test_a_process_on_another_host_is_known_as_long_as_it_speaks(tmp_path: Path) -> None:
    """There is one for each task with `isolation="process"` that has tasks of its own."""
    far = cast("Host", FarHost())
    left: list[str] = []

    async def run() -> None:
        exchange = Exchange(make_context(tmp_path, None, make_node("n0")), "workers", lambda *_: None, left=left.append)
        for number in range(3):
            exchange._receive_far(far, f"task-{number}", encode(Returned(1, [])))
            assert Peer(exchange, f"task-{number}").host is far
            exchange._receive_far(far, f"task-{number}", [])
            assert Peer(exchange, f"task-{number}").host is None
        assert exchange._far == {}

    asyncio.run(run())
    assert left == ["task-0", "task-1", "task-2"]


LARGE = bytes(300_000)


class FarHost:
    """Hears what is sent to a host, by the way it is."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        self.sent.append(("whole", Codec[ToBackend](ToBackend).decode(frames)))

    def send_tasks(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        self.sent.append(("abridged", Codec[ToBackend](ToBackend).decode(frames)))


@pytest.mark.parametrize("message", [
    Work(1, "call", (), {}, [Task(1, b"", LARGE)]),
    Deliver([Task(1, b"", LARGE)]),
    ChildrenEnded([Result(1, RESULT, LARGE)]),
])  # fmt: skip
def test_to_another_host_go_bytes_and_agents_keep_those_of_tasks(tmp_path: Path, message: Any) -> None:
    """What comes once would only fill their shelves."""
    exchange, far, shared = (
        Exchange(make_context(tmp_path, None, make_node("n0")), "e", print),
        FarHost(),
        SharedMemory(),
    )
    exchange._far["w"] = cast(Host, far)
    of_tasks = isinstance(message, Work | Deliver)
    try:
        field = "tasks" if of_tasks else "results"
        here = [deliver(item, shared.path) for item in getattr(message, field, ())]
        exchange.send("w", msgspec.structs.replace(message, **{field: here}) if here else message)
        where = {"shared_folder": folder_of(payloads_of(str(tmp_path)), "e", "w")} if of_tasks else {}
        assert far.sent == [("abridged" if of_tasks else "whole", msgspec.structs.replace(message, **where))]
    finally:
        shared.close()
