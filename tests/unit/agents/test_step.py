"""Node agents that come by one step of the batch system: who they are, what becomes of one, and of all."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from rhapsody_parsl.agents import host as host_module
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.hosts.process import Backend
from testing import leaks
from testing.processes import below, command_of
from testing.waiting import until
from tests.unit.agents import steps

STEP = (sys.executable, steps.__file__)
Story = Callable[[list[Host]], Awaitable[None]]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still late enough: those of a step are not lost in the same moment, and one that is alone then stays so."""
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 1.0)


def carriers() -> list[psutil.Process]:
    return [
        process for process in below("steps.py") if command_of(process).partition(" ")[2].startswith(steps.__file__)
    ]


def agents(script: str, host: str) -> list[psutil.Process]:
    return [process for process in below(script) if _host_of(process) == host]


def _host_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("SLURMD_NODENAME")
    except psutil.NoSuchProcess:  # it has just ended
        return None


def launcher(*step: str, copies: bool) -> NodeLauncher:
    copy = ("--copy",) if copies else ()
    return NodeLauncher("own", (*STEP, *copy, "{host}"), step or (*STEP, *copy, "{hosts}"), by_file=not copies)


def with_hosts(
    folder: Path,
    way: NodeLauncher,
    story: Story,
    changes: list[tuple[str, str]] | None = None,
    threshold: float = 5.0,
    tree: Tree = STAR,
) -> None:
    told = [] if changes is None else changes

    async def run() -> None:
        bind = "tcp://0.0.0.0" if tree.gateways else "tcp://127.0.0.1"
        listener = AgentListener("127.0.0.1", 3, period=0.1, threshold=threshold, bind=bind, tree=tree)
        starter = Starter(way, folder / "private", folder, listener, hosts=3)
        hosts = [
            Host(name, starter=starter, listener=listener, on_change=lambda *change: told.append(change))
            for name in tree.gateways or ("n1", "n2", "n3")
        ]
        try:
            assert all(await asyncio.gather(*(host.start() for host in hosts))), [host.problem for host in hosts]
            await story(hosts)
        finally:
            await asyncio.gather(*(host.stop() for host in hosts))
            listener.close()

    asyncio.run(run())
    assert not list(folder.glob("private*"))


async def back(hosts: Sequence[Host]) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*(host.wait_up() for host in hosts))


@pytest.mark.parametrize("copies", [True, False], ids=["standard input", "file"])
def test_all_come_by_one_and_each_knows_its_host(tmp_path: Path, copies: bool) -> None:
    async def story(hosts: list[Host]) -> None:
        (step,) = carriers()
        assert {host.name for host in hosts if agents("node_agent.py", host.name)} == {"n1", "n2", "n3"}
        assert len(agents("/agent.py", "n2")) == 1
        assert sorted(path.name for path in tmp_path.iterdir() if "node-agent" in path.name) == ["node-agents.log"]
        assert "secret" not in " ".join(step.cmdline())
        await hosts[0].stop()
        await asyncio.to_thread(until, lambda: not agents("/agent.py", "n1"), 10)
        assert hosts[1].up
        assert step.is_running()

    with_hosts(tmp_path, launcher(copies=copies), story)


@pytest.mark.parametrize("copies", [True, False], ids=["standard input", "file"])
def test_one_that_is_killed_comes_back_alone(tmp_path: Path, copies: bool) -> None:
    changes: list[tuple[str, str]] = []

    async def story(hosts: list[Host]) -> None:
        (step,) = carriers()
        agents("/agent.py", "n2")[0].kill()
        await asyncio.to_thread(until, lambda: len(changes) == 2, 20)
        await back(hosts)
        assert len(carriers()) == 2
        assert step in carriers()

    with_hosts(tmp_path, launcher(copies=copies), story, changes)
    assert changes == [("n2", "its connection ended"), ("n2", "")]


def test_all_of_a_step_that_is_killed_come_back_by_another(tmp_path: Path) -> None:
    changes: list[tuple[str, str]] = []

    async def story(hosts: list[Host]) -> None:
        (step,) = carriers()
        step.kill()
        await asyncio.to_thread(until, lambda: len(changes) == 6, 30)
        await back(hosts)
        await asyncio.to_thread(until, lambda: len(carriers()) == 1, 30)

    with_hosts(tmp_path, launcher(copies=True), story, changes)
    assert sorted(name for name, problem in changes if not problem) == ["n1", "n2", "n3"]


def test_most_of_a_step_that_are_lost_come_back_by_another(tmp_path: Path) -> None:
    """Slurm kills all of a step that has a node which does not answer to the launch, and says so minutes later."""
    changes: list[tuple[str, str]] = []

    async def story(hosts: list[Host]) -> None:
        (step,) = carriers()
        for name in ("n1", "n3"):
            for process in (*agents("/agent.py", name), *agents("node_agent.py", name)):
                process.kill()
        await asyncio.to_thread(until, lambda: len(changes) == 4, 30)
        await back(hosts)
        (other,) = (carrier for carrier in carriers() if carrier != step)
        assert sorted(other.cmdline()[3].split(",")) == ["n1", "n3"]

    with_hosts(tmp_path, launcher(copies=True), story, changes, threshold=2.0)


@pytest.mark.parametrize("how", ["agent", "both", "frozen"])
def test_only_the_one_by_which_others_speak_is_lost_with_it(tmp_path: Path, how: str) -> None:
    names = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    changes: list[tuple[str, str]] = []

    async def story(hosts: list[Host]) -> None:
        assert len(set(hosts[0].listener._listener._routes.values())) == 1
        found = agents("/agent.py", names[0]) + (agents("node_agent.py", names[0]) if how == "both" else [])
        for process in found:
            process.send_signal(signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
        async with asyncio.timeout(30):
            while not changes:
                await asyncio.sleep(0.01)
        kept = Backend([sys.executable, "-c", "import sys; sys.exit(3)"], tmp_path / "log", host=hosts[1])
        await kept.start()
        assert await asyncio.wait_for(kept.wait(), 20) == "it left with exit code 3"
        for process in found if how == "frozen" else ():
            process.send_signal(signal.SIGCONT)
        await back(hosts)

    tree = Tree(dict.fromkeys(names, names[0]), 3)
    with_hosts(tmp_path, launcher(copies=True), story, changes, tree=tree)
    assert [name for name, _ in changes] == [names[0]] * 2, "it was lost, and came back"


@pytest.mark.parametrize("step", [("false", "{hosts}"), ("/no/such/step", "{hosts}")], ids=["fails", "is not there"])
def test_where_a_step_fails_each_is_started_alone(tmp_path: Path, step: tuple[str, ...]) -> None:
    async def story(hosts: list[Host]) -> None:
        assert len(carriers()) == 3

    with_hosts(tmp_path, launcher(*step, copies=True), story)


def test_what_agents_are_told_in_a_file_is_private_and_goes_when_they_know_it(tmp_path: Path) -> None:
    note = tmp_path / "mode"
    step = ("sh", "-c", f'stat -c %a {tmp_path}/node-agents.[0-9a-f]* > {note}; exec "$@"', "sh", *STEP, "{hosts}")

    async def story(hosts: list[Host]) -> None:
        assert note.read_text() == "600\n"
        assert [path.name for path in tmp_path.glob("node-agents*")] == ["node-agents.log"]

    with_hosts(tmp_path, launcher(*step, copies=False), story)
