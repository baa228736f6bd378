"""A node agent and the processes it starts, all on this host: only the way to it is a plain `env`."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import zmq

from rhapsody_parsl.agents import host as host_module
from rhapsody_parsl.agents import node_agent
from rhapsody_parsl.agents.carrier import Carried
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.words import KeepValues, Settings
from rhapsody_parsl.cluster.node_launcher import Unreachable
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.hosts.process import Backend
from testing import leaks
from testing.processes import below
from testing.waiting import alive, until, until_gone
from tests.unit.agents.there import LOG, host_at, node_agents, sleeper, with_host


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "private"


def test_a_process_there_has_its_files_its_variables_and_its_end(folder: Path) -> None:
    code = "import os, sys; print(os.environ['MINE'], open(sys.argv[1]).read(), os.environ.get('HOME')); sys.exit(7)"

    async def story(host: Host) -> None:
        assert host.up
        assert host.facts
        assert host.facts.cores == sorted(os.sched_getaffinity(0))
        path = str(folder / "one" / "settings")
        backend = Backend(
            [sys.executable, "-c", code, path], folder.parent / "log", host=host,
            env={"MINE": "x", "HOME": None}, files={path: "text"},
        )  # fmt: skip
        await backend.start()
        assert await backend.wait() == "it left with exit code 7"
        assert backend.log_tail() == "x text None"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert not (folder / "agent").exists(), "it was read, and is secret"
        assert json.loads((folder / "environment").read_text())["PATH"] == os.environ["PATH"]

    with_host(folder, story)
    assert not folder.exists()


@pytest.mark.parametrize("tasks_leave", [False, True], ids=["nothing left", "left by a task"])
def test_a_jobs_own_folder_for_temporary_files_may_be_on_the_first_host_only(folder: Path, tasks_leave: bool) -> None:
    jobs = folder.parent / "pbs.7.server"

    async def story(host: Host) -> None:
        assert stat.S_IMODE(jobs.stat().st_mode) == 0o700
        if tasks_leave:
            (jobs / "result").touch()

    with_host(jobs / "private", story, log=folder.parent / LOG)
    assert list(folder.parent.rglob("pbs.7.server/*")) == ([jobs / "result"] if tasks_leave else [])
    assert jobs.exists() == tasks_leave


def test_a_process_there_has_the_jobs_umask_and_limits(folder: Path) -> None:
    """Some ways to a host, as ssh, bring along neither."""
    code = "import os, resource; print(oct(os.umask(0)), resource.getrlimit(resource.RLIMIT_CORE)[0])"
    way = ("sh", "-c", 'umask 022; ulimit -S -c unlimited; exec "$@"', "way")
    before, (soft, hard) = os.umask(0o027), resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (4096, hard))

    async def story(host: Host) -> None:
        backend = Backend([sys.executable, "-c", code], folder.parent / "log", host=host)
        await backend.start()
        await backend.wait()
        assert backend.log_tail() == "0o27 4096"

    try:
        with_host(folder, story, way=way)
    finally:
        os.umask(before)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_one_that_is_late_is_told_once_where_values_are_kept(folder: Path) -> None:
    """Told twice an agent waits five seconds for itself to leave the memory, and keeps values on the disk."""

    async def run() -> None:
        host = host_at(folder, folder.parent / LOG)
        coming = host.start()
        while not host._line:
            await asyncio.sleep(0)
        host.keep_values(KeepValues("token", "0", -1, "0"), lambda *_: None)
        host.open("workers", lambda *_: None)
        try:
            assert await coming
            _, pid = await sleeper(host, folder)  # what was said before is done
            place = Place.told(str(folder))
            assert place
            assert place.memory
            assert alive(pid)
        finally:
            await host.stop()
            host.listener.close()

    asyncio.run(run())


def test_an_agent_without_room_says_so_and_leaves_nothing(folder: Path) -> None:
    """As where the disk is full: the folder can be made, and nothing written in it."""
    small = "ulimit -f 0; trap '' XFSZ; exec \"$@\""

    async def run() -> None:
        host = host_at(folder, folder.parent / LOG, ("sh", "-c", small, "way"))
        assert not await host.start()
        assert host.problem.endswith(f"where its private folder is ({folder}); set TMPDIR to a folder with room")
        await host.stop()
        host.listener.close()

    asyncio.run(run())
    until(lambda: not folder.exists(), 10)


def test_stop_ends_it_there(folder: Path) -> None:
    async def story(host: Host) -> None:
        backend, pid = await sleeper(host, folder)
        await backend.stop()
        assert not alive(pid)

    with_host(folder, story)


def test_a_guard_there_that_is_killed_is_followed_by_another(folder: Path) -> None:
    """What had a session of its own and no parent is the keeper's then, and goes with the node agent."""
    left = folder.parent / "left"
    code = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "far = subprocess.run(['setsid', '--fork', 'sh', '-c', 'echo $$ > ' + sys.argv[1] + '.far; exec sleep 100'])\n"
        "open(sys.argv[1] + '.near', 'w').write(str(os.getpid())); time.sleep(100)"
    )
    note = str(folder.parent / "pid")
    pids: list[int] = []

    async def story(host: Host) -> None:
        command = [sys.executable, "-c", code, note]
        backend = Backend(command, folder.parent / "log", host=host, sweep=[str(left)])
        await backend.start()
        for which in (".near", ".far"):
            path = Path(note + which)
            pids.append(int(await asyncio.to_thread(until, lambda path=path: path.exists() and path.read_text())))
        left.touch()
        above = psutil.Process(pids[0]).parent()
        assert above
        above.kill()
        assert await backend.wait() == "it was ended by signal 9"
        assert not alive(pids[0])
        assert not left.exists()

    with_host(folder, story)
    assert not alive(pids[1])
    assert not folder.exists()


def test_an_node_agent_whose_keeper_is_killed_leaves_nothing(folder: Path) -> None:
    async def story(host: Host) -> None:
        _, pid = await sleeper(host, folder)
        node_agents()[0].kill()
        await asyncio.to_thread(until_gone, [pid])
        await asyncio.to_thread(until, lambda: not folder.exists(), 10)

    with_host(folder, story)


@pytest.mark.parametrize("whom", [(1,), (0, 1)], ids=["agent", "both"])
def test_the_end_of_the_node_agent_ends_all_and_is_told(folder: Path, whom: tuple[int, ...]) -> None:
    """Killed with its keeper, which removes the folder, it leaves that; the next one takes it over."""
    told: list[tuple[str, str]] = []

    async def story(host: Host) -> None:
        backend, pid = await sleeper(host, folder)
        losses: list[str] = []
        host.watch(losses.append)
        agents = node_agents()
        for number in whom:
            agents[number].kill()
        assert await backend.wait() == "its host other was lost: its connection ended"
        assert losses == ["host other was lost: its connection ended"]
        await asyncio.to_thread(until_gone, [pid])
        await asyncio.wait_for(host.wait_up(), 20)
        _, pid = await sleeper(host, folder)
        assert alive(pid)

    with_host(folder, story, on_change=lambda *change: told.append(change))
    assert told == [("other", "its connection ended"), ("other", "")]
    assert not folder.exists()


def test_the_next_agent_is_there_once_nothing_of_the_last_one_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with its keeper, it leaves guards. They hold the folder as long as their commands may use it."""
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 0.1)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"

    async def story(host: Host) -> None:
        backend, pid = await sleeper(host, folder, before=stubborn, grace=2.0)
        (folder / "left").touch()
        for process in node_agents():
            process.kill()
        await backend.wait()
        assert alive(pid)
        await asyncio.wait_for(host.wait_up(), 20)
        assert not alive(pid)
        assert not (folder / "left").exists()

    with_host(folder, story)


def test_a_host_to_which_there_is_no_way_for_a_while_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 0.1)

    async def story(host: Host) -> None:
        alone, problems = host._starter.alone, list[str]()

        async def no_way(name: str, word: str) -> Carried:
            problems.append(host.problem)
            if len(problems) == 1:
                raise Unreachable("There is no ssh")
            return await alone(name, word)

        monkeypatch.setattr(host._starter, "alone", no_way)
        node_agents()[-1].kill()
        await asyncio.to_thread(until, lambda: len(problems) == 2)
        await asyncio.wait_for(host.wait_up(), 20)

    with_host(folder, story)


def test_an_agent_that_cannot_do_as_told_says_why(folder: Path) -> None:
    told: list[str] = []

    async def story(host: Host) -> None:
        (folder / "speakers").mkdir()
        host.open("speakers", lambda peer, frames: None)
        while not told:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(host.wait_up(), 20)

    with_host(folder, story, on_change=lambda _, problem: told.append(problem))
    assert "Address already in use" in told[0]


def test_an_node_agent_leaves_with_what_started_it(folder: Path) -> None:
    """Flux kills that when the way from the pilot ends, and leaves the node agent's standard input open."""
    words = ["setsid", "--wait", sys.executable, "-I", "-S", node_agent.__file__, str(folder)]
    public, secret = (key.decode() for key in zmq.curve_keypair())
    settings = Settings("tcp://127.0.0.1:1", "other/1", "other", (public, public, secret), 1.0, 60.0, sys.path)
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as carrier:
        assert carrier.stdin
        carrier.stdin.write(msgspec.json.encode(settings) + b"\n")
        carrier.stdin.flush()
        until(lambda: len(below("agent.py")) == 3, 20)
        carrier.kill()
        until(lambda: not folder.exists(), 10)


def test_the_address_of_a_hosts_own_broker_stays_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_URI", "local:///tmp/flux-a/local-0")
    code = "import os; print(os.environ['FLUX_URI'])"

    async def story(host: Host) -> None:
        backend = Backend([sys.executable, "-c", code], folder.parent / "log", host=host)
        await backend.start()
        await backend.wait()
        assert backend.log_tail() == "local:///tmp/flux-b/local-1"

    with_host(folder, story, way=("env", "FLUX_URI=local:///tmp/flux-b/local-1"))


def test_an_node_agent_that_is_frozen_is_lost_and_leaves_when_it_wakes(folder: Path) -> None:
    async def story(host: Host) -> None:
        backend, pid = await sleeper(host, folder)
        frozen = node_agents()
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        assert await backend.wait() == "its host other was lost: it was silent for 1 s"
        assert alive(pid)
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):  # the way to it was cut by killing its first process
                process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(until_gone, [pid])

    with_host(folder, story, threshold=1.0)


def test_a_process_that_spans_a_lost_host_ends(folder: Path) -> None:
    async def story(host: Host) -> None:
        backend = Backend([sys.executable, "-c", "import time; time.sleep(100)"], folder.parent / "log", spans=[host])
        await backend.start()
        node_agents()[-1].kill()
        assert await backend.wait() == "host other was lost: its connection ended"

    with_host(folder, story)


def test_a_host_that_does_not_answer_says_why(folder: Path) -> None:
    async def run() -> None:
        log = folder.parent / LOG
        host = host_at(folder, log, ("sh", "-c", "echo no such host >&2; exit 1"))
        assert not await host.start()
        assert host.problem == f"the way to it ended: no such host; see {log}"
        assert log.read_text() == "no such host\n"
        await host.stop()
        host.listener.close()
        folder.mkdir(mode=0o755)
        host = host_at(folder, log)
        assert not await host.start()
        assert "is not a folder of ours alone; set TMPDIR" in host.problem
        await host.stop()
        host.listener.close()

    asyncio.run(run())


def test_a_greeting_on_the_way_is_passed_over(folder: Path) -> None:
    async def story(host: Host) -> None:
        assert host.facts
        assert host.facts.cores

    with_host(folder, story, way=("sh", "-c", 'echo "Welcome to {host}"; exec "$@"', "sh"))


def test_how_much_a_host_works_is_told_until_it_is_lost(folder: Path) -> None:
    async def story(host: Host) -> None:
        async with asyncio.timeout(20):
            while not host.use.memory:
                await asyncio.sleep(0.01)
            node_agents()[1].kill()
            while host.use.memory:
                await asyncio.sleep(0.01)
            while not host.use.memory:  # it is there again
                await asyncio.sleep(0.01)

    with_host(folder, story, use_every=0.05)
