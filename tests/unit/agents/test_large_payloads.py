"""Large payloads between an agent and the processes of its host: files while they are needed, and none later."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.agents import host as host_module
from rhapsody_parsl.agents import large_payloads
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.large_payloads import LargePayloads, folder_of
from rhapsody_parsl.agents.words import KeepValues
from rhapsody_parsl.hosts.data_place import memory_of, payloads_of
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.payload import open_value, pack_call
from rhapsody_parsl.wire import shared_memory
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import (
    RESULT,
    Answered,
    ChildrenEnded,
    Deliver,
    Done,
    FromBackend,
    Message,
    Ready,
    Result,
    Returned,
    SharedPayload,
    Task,
    ToBackend,
    Work,
)
from rhapsody_parsl.wire.shared_memory import deliver, discard, opened
from testing import leaks
from testing.waiting import until
from tests.integration import apps
from tests.unit.agents.there import node_agents, with_host

LARGE = os.urandom(shared_memory.SMALLEST)
_to, _of = Codec[ToBackend](ToBackend), Codec[FromBackend](FromBackend)


def test_a_payload_is_large_from_the_same_size_on_everywhere() -> None:
    assert large_payloads._LARGE == shared_memory.SMALLEST


@pytest.fixture
def memory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


@pytest.fixture
def payloads(memory: str) -> LargePayloads:
    """Those of an exchange on which one process has spoken."""
    made = LargePayloads(memory, "workers")
    assert made.of("w1", frames := encode(Ready("host", 1))) is frames
    return made


def given(payloads: LargePayloads, message: Message) -> Any:
    """What a process gets of a message."""
    return _to.decode(payloads.to("w1", encode(message)))


def files(memory: str) -> list[str]:
    return sorted(file.name for file in Path(memory).rglob("*") if file.is_file())


def work(*tasks: int, run: int = 1) -> Work:
    return Work(run, "call", (), {}, [Task(task, b"spec", LARGE) for task in tasks])


@pytest.mark.parametrize("message", [work(7, 8), Deliver([Task(7, b"", LARGE), Task(8, b"", LARGE)])])
def test_arguments_lie_there_until_their_tasks_are_over(payloads: LargePayloads, memory: str, message: Any) -> None:
    came = given(payloads, message)
    assert [opened(task) for task in came.tasks] == [LARGE, LARGE]
    assert all(isinstance(task.payload, SharedPayload) for task in came.tasks)
    payloads.of("w1", encode(Done(1, [Result(8, RESULT, b"small")])))
    assert files(memory) == ["7"]
    payloads.of("w1", encode(Returned(1, [7])))
    assert files(memory) == []
    assert payloads.of("w1", nonsense := [b"nonsense"]) is nonsense, "nothing of it is here: nobody looks"


@pytest.mark.parametrize("message", [Done, Answered])
def test_results_are_read_and_removed(payloads: LargePayloads, memory: str, message: Any) -> None:
    results = [Result(7, RESULT, LARGE), Result(8, RESULT, b"small")]
    folder = folder_of(memory, "workers", "w1")
    said = message("name" if message is Answered else 1, [deliver(result, folder) for result in results])
    assert len(files(memory)) == 1
    assert _of.decode(payloads.of("w1", encode(said))).results == results  # type: ignore[union-attr]  # one of these
    assert files(memory) == []


def test_results_of_tasks_of_tasks_are_removed_by_their_reader(payloads: LargePayloads, memory: str) -> None:
    (result,) = given(payloads, ChildrenEnded([Result(7, RESULT, LARGE)])).results
    assert opened(result) == LARGE
    assert len(files(memory)) == 1
    discard(result)
    assert files(memory) == []


@pytest.mark.parametrize("kept_free", [shared_memory._KEPT_FREE, 1.0], ids=["no folder", "no room"])
def test_without_room_they_stay_in_their_message(
    payloads: LargePayloads, memory: str, monkeypatch: pytest.MonkeyPatch, kept_free: float
) -> None:
    monkeypatch.setattr(shared_memory, "_KEPT_FREE", kept_free)
    if kept_free < 1:
        payloads = LargePayloads(f"{memory}/nowhere", "workers")
        payloads.of("w1", encode(Ready("host", 1)))
    assert given(payloads, work(7)).tasks == work(7).tasks
    assert files(memory) == []


def test_small_ones_and_what_else_is_long_stay_as_they_are(payloads: LargePayloads) -> None:
    small = encode(Work(1, "call", (), {}, [Task(7, b"spec", LARGE[1:])]))
    assert payloads.to("w1", small) is small
    assert payloads.to("w2", encode(work(7))) == encode(work(7)), "it has not spoken"
    long = encode(Work(1, "call", (), {"A": "a" * len(LARGE)}, []))
    assert payloads.to("w1", long) == long


def test_nothing_of_a_process_that_is_gone_stays(payloads: LargePayloads, memory: str) -> None:
    payloads.to("w1", encode(work(7)))
    deliver(Result(7, RESULT, LARGE), folder_of(memory, "workers", "w1"))
    payloads.left("w1")
    payloads.left("w1")
    assert os.listdir(memory) == []


def test_a_payload_elsewhere_is_not_believed(payloads: LargePayloads, memory: str) -> None:
    payloads.of("w2", encode(Ready("host", 1)))
    other = deliver(Result(7, RESULT, LARGE), folder_of(memory, "workers", "w2"))
    with pytest.raises(MalformedFrame, match="a payload is said to lie at"):
        payloads.of("w1", encode(Done(1, [other])))
    assert len(files(memory)) == 1


# --- with an agent and a worker --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with leaks.watch(5.0):
        yield tmp_path / "private"


class Worker:
    """A worker of the host, as the pilot sees it."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self._place = host, payloads_of(str(folder))
        self.said: list[Any] = []
        host.keep_values(KeepValues("token", "0", -1, "0"), lambda *_: None)
        host.open("workers", lambda _, frames: self.said.append(_of.decode(frames)))
        argv = [sys.executable, "-m", "rhapsody_parsl.worker", f"ipc://{folder}/workers", "w1"]
        self.backend = Backend(argv, folder.parent / "worker.log", host=host, grace=0.3)

    async def start(self) -> None:
        self.said.clear()
        await self.backend.start()
        await self.until(lambda: self.said)

    def feed(self, *calls: bytes, run: int = 1) -> None:
        tasks = [Task(number, b"", call) for number, call in enumerate(calls, 1)]
        where = folder_of(self._place, "workers", "w1")
        self.host.send_tasks("workers", "w1", encode(Work(run, "call", (), {}, tasks, shared_folder=where)))

    def files(self) -> list[str]:
        return files(self._place)

    @property
    def results(self) -> list[Any]:
        done = [message for message in self.said if isinstance(message, Done)]
        return [open_value(result.payload) for message in done for result in message.results]  # type: ignore[arg-type]  # bytes

    async def until(self, condition: Callable[[], Any]) -> None:
        await asyncio.to_thread(until, condition, 20)


def with_worker(folder: Path, story: Callable[[Worker], Awaitable[None]]) -> None:
    async def told(host: Host) -> None:
        worker = Worker(host, folder)
        await worker.start()
        await story(worker)

    with_host(folder, told)
    assert not Path(memory_of(str(folder))).exists()


def test_arguments_and_results_go_by_files(folder: Path) -> None:
    """While the agent is stopped one sees the result, and the argument of what comes later."""
    data = os.urandom(1_000_000)
    (nap, size) = (pack_call(apps.nap_over, (seconds, data), {}) for seconds in (0.2, 0.0))

    async def story(worker: Worker) -> None:
        worker.feed(nap, size)
        await worker.until(lambda: len(worker.files()) == 2)
        agent = node_agents()[1]
        agent.suspend()
        try:
            await worker.until(lambda: len(worker.files()) == 4)
        finally:
            agent.resume()
        await worker.until(lambda: len(worker.results) == 2)
        assert worker.results == [data, data]
        assert worker.files() == []

    with_worker(folder, story)


@pytest.mark.parametrize("whom", ["worker", "agent", "agent and keeper"])
def test_whoever_is_killed_leaves_nothing(folder: Path, whom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent leaves that is killed with its keeper the next one removes, as it does with the private folder."""
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 0.1)
    data = os.urandom(1_000_000)

    async def story(worker: Worker) -> None:
        worker.feed(*(pack_call(apps.nap_over, (100, data), {}) for _ in range(2)))
        await worker.until(lambda: len(worker.files()) == 2)
        keeper, agent = node_agents()
        if whom == "worker":
            guard = agent.children()[0]
            guard.children()[0].kill()
        else:
            for process in [agent, keeper][: len(whom.split(" and "))]:
                process.kill()
        await worker.backend.wait()
        await asyncio.wait_for(worker.host.wait_up(), 20)
        place = Path(payloads_of(str(folder)))
        await worker.until(lambda: place.exists() and not list(place.iterdir()))

    with_worker(folder, story)
