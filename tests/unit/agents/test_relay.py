"""What the processes of a host say reaches the pilot, and the pilot them; also over a way that is cut meanwhile."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.relay import Relay
from rhapsody_parsl.agents.remote_process import RemoteProcess
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.engine_messages import Abort
from rhapsody_parsl.wire.messages import Message, Quit, Returned
from rhapsody_parsl.wire.stream_connection import StreamConnection
from testing import leaks
from testing.waiting import until, until_gone
from tests.unit.agents.there import Way, host_at, node_agents, sleeper, with_host


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "private"


SPEAKER = """
import sys
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Quit, Returned
spoke = Spoke(sys.argv[1], "speaker")
spoke.send(Returned(0, []))
while not isinstance(message := spoke.receive(), Quit):
    for number in message.tasks:
        spoke.send(Returned(number, [number] * int(sys.argv[2])))
spoke.send(Returned(99, []))
"""


LATE = """
import pathlib, sys, time
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Returned
pathlib.Path(sys.argv[2]).touch()
while not pathlib.Path(sys.argv[3]).exists():
    time.sleep(0.01)
Spoke(sys.argv[1], "late").send(Returned(0, []))
"""


class Speaker:
    """A process of the host that answers each number, and says 99 before it leaves; and what it was heard to say."""

    def __init__(self, host: Host, folder: Path, size: int = 1) -> None:
        self.said: list[int] = []
        self._host, self._codec = host, Codec[Returned](Returned)
        host.open("speakers", self._hear)
        argv = [sys.executable, "-c", SPEAKER, f"ipc://{folder}/speakers", str(size)]
        self.backend = Backend(argv, folder.parent / "speaker.log", host=host, grace=0.3)

    def _hear(self, peer: str, frames: list[bytes]) -> None:
        assert peer == "speaker"
        if frames:
            self.said.append(self._codec.decode(frames).run)

    def tell(self, message: Message) -> None:
        self._host.send("speakers", "speaker", encode(message))

    async def until_said(self, *numbers: int) -> None:
        async with asyncio.timeout(20):
            while self.said != list(numbers):
                await asyncio.sleep(0.01)


def test_what_a_process_said_before_its_exit_comes_before_it(folder: Path) -> None:
    async def story(host: Host) -> None:
        speaker = Speaker(host, folder)
        await speaker.backend.start()
        await speaker.until_said(0)
        speaker.tell(Abort([1, 2]))
        await speaker.until_said(0, 1, 2)
        speaker.tell(Quit())
        assert await speaker.backend.wait() == "it left with exit code 0"
        assert speaker.said == [0, 1, 2, 99]
        host.send("speakers", "nobody", [b"x"])
        host.hang_up("speakers", "nobody")

    with_host(folder, story)


def test_what_is_said_after_others_comes_after_all_they_said(tmp_path: Path) -> None:
    """Dragon's head tells of an exit: the worker's last result may be in its socket yet, or its connection new."""

    async def run() -> None:
        said: list[str] = []
        say = lambda exchange, peer, frames: said.append(f"{exchange}: {frames[0].decode()}")  # noqa: E731 - short
        relay = Relay(str(tmp_path), say, lambda exchange, peer: said.append(f"{peer} left"))
        relay.open("workers")
        relay.open("heads", after="workers")
        head = StreamConnection(str(tmp_path / "heads"), "head")
        head.send([b"ready"])
        async with asyncio.timeout(5):
            while not said:
                await asyncio.sleep(0.01)
        worker = StreamConnection(str(tmp_path / "workers"), "worker")
        worker.send([b"result"])
        worker.close()
        head.send([b"exited"])
        async with asyncio.timeout(5):
            while len(said) < 4:
                await asyncio.sleep(0.01)
        assert said == ["heads: ready", "workers: result", "worker left", "heads: exited"]
        head.close()
        relay.close()

    asyncio.run(run())


def test_who_leaves_is_told_after_all_it_said(folder: Path) -> None:
    heard: list[tuple[str, int]] = []

    async def story(host: Host) -> None:
        host.open("talkers", lambda peer, frames: heard.append((peer, len(frames))))
        speaker = Speaker(host, folder)  # on another exchange
        await speaker.backend.start()
        await speaker.until_said(0)
        talker = StreamConnection(str(folder / "talkers"), "talker")
        for _ in range(3):
            talker.send([b"word"])
        talker.close()
        async with asyncio.timeout(20):
            while ("talker", 0) not in heard:
                await asyncio.sleep(0.01)
        assert heard == [("talker", 1)] * 3 + [("talker", 0)]
        speaker.tell(Quit())
        await speaker.until_said(0, 99)
        await speaker.backend.wait()
        assert speaker.said == [0, 99]

    with_host(folder, story)


def test_a_word_of_an_exit_overtakes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent, busy meanwhile, finds at once that somebody knocks, and that a process has exited: the same."""
    go, note = folder.parent / "go", folder.parent / "note"

    said: list[str] = []
    ended = RemoteProcess.ended

    def note_end(process: RemoteProcess, *words: Any) -> None:
        said.append("it has exited")
        ended(process, *words)

    monkeypatch.setattr(RemoteProcess, "ended", note_end)

    async def story(host: Host) -> None:
        host.open("speakers", lambda peer, frames: said.extend(["it spoke"] * len(frames)))
        argv = [sys.executable, "-c", LATE, f"ipc://{folder}/speakers", str(note), str(go)]
        backend = Backend(argv, folder.parent / "log", host=host, grace=0.3)
        await backend.start()
        await asyncio.to_thread(until, note.exists, 20)
        agent = node_agents()[1]
        guard = agent.children()[0]
        agent.suspend()
        go.touch()
        await asyncio.to_thread(until, lambda: guard.status() == psutil.STATUS_ZOMBIE, 10)
        agent.resume()
        await backend.wait()
        assert said == ["it spoke", "it has exited"]

    with_host(folder, story, threshold=20.0)


def test_who_is_started_after_a_loss_speaks_to_the_next_agent(folder: Path) -> None:
    async def story(host: Host) -> None:
        speaker = Speaker(host, folder)
        await speaker.backend.start()
        await speaker.until_said(0)
        for process in node_agents():
            process.kill()
        await speaker.backend.wait()
        async with asyncio.timeout(20):
            await host.wait_up()
        await speaker.backend.start()
        await speaker.until_said(0, 0)
        await speaker.backend.stop()

    with_host(folder, story)


def test_who_speaks_nonsense_is_hung_up_on(folder: Path) -> None:
    async def story(host: Host) -> None:
        speaker = Speaker(host, folder)
        await speaker.backend.start()
        await speaker.until_said(0)
        host.hang_up("speakers", "speaker")
        assert await speaker.backend.wait() == "it left with exit code 1"

    with_host(folder, story)


def test_a_cut_shorter_than_the_threshold_costs_nothing(folder: Path) -> None:
    """Neither its processes, nor a word of theirs; a descriptor for each host is all that the pilot has for them."""

    async def run() -> None:
        way = Way()
        host = host_at(folder, folder.parent / "node-agent.log", threshold=20.0)
        await way.open(host)
        try:
            assert await host.start(), host.problem
            speaker = Speaker(host, folder, size=100_000)
            await speaker.backend.start()
            await speaker.until_said(0)
            speaker.tell(Abort(list(range(1, 20))))
            await asyncio.sleep(0.05)
            way.cut()
            speaker.tell(Abort(list(range(20, 40))))
            await asyncio.sleep(1.0)
            assert host.up
            way.cut(False)
            await speaker.until_said(*range(40))
            speaker.tell(Quit())
            assert await speaker.backend.wait() == "it left with exit code 0"
        finally:
            await host.stop()
            host.listener.close()
            await way.close()

    asyncio.run(run())


def test_a_longer_one_is_a_lost_host_with_nothing_left_that_comes_back(folder: Path) -> None:
    async def run() -> None:
        way = Way()
        host = host_at(folder, folder.parent / "node-agent.log", threshold=1.0)
        await way.open(host)
        try:
            assert await host.start(), host.problem
            backend, pid = await sleeper(host, folder)
            way.cut()
            assert await backend.wait() == "its host other was lost: it was silent for 1 s"
            await asyncio.to_thread(until_gone, [pid])
            way.cut(False)
            async with asyncio.timeout(20):
                await host.wait_up()
        finally:
            await host.stop()
            host.listener.close()
            await way.close()

    asyncio.run(run())


def test_an_agent_that_does_not_reach_the_pilot_says_where_it_tried(folder: Path) -> None:
    async def run() -> None:
        host = host_at(folder, folder.parent / "log", threshold=0.5, address="127.0.0.2")
        assert not await host.start()
        assert "tcp://127.0.0.2:" in host.problem
        assert "was not reached: it was silent for 0.5 s" in host.problem
        await host.stop()
        host.listener.close()

    asyncio.run(run())


def test_more_processes_take_no_more_files_of_the_pilot(folder: Path) -> None:
    async def story(host: Host) -> None:
        before = len(os.listdir("/proc/self/fd"))
        speakers = [Speaker(host, folder) for _ in range(3)]
        for speaker in speakers:
            await speaker.backend.start()
        async with asyncio.timeout(20):
            while len(speakers[-1].said) < len(speakers):
                await asyncio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == before
        for speaker in speakers:
            await speaker.backend.stop()

    with_host(folder, story)
