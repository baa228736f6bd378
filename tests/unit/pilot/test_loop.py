import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl import CommandService, LocalRuntime
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.hosts.data_place import memory_of
from rhapsody_parsl.pilot.link import Link
from rhapsody_parsl.pilot.loop import Pilot
from rhapsody_parsl.pilot.shell import Shell
from rhapsody_parsl.wire.messages import FAILED, FromPilot, Goodbye, Results, Submit
from testing.nodes import make_node, make_spec, make_task


@pytest.fixture(autouse=True)
def _values_go(tmp_path: Path) -> Iterator[None]:
    """A pilot that is made opens a place for values; one that never leaves does not close it."""
    yield
    shutil.rmtree(memory_of(str(tmp_path / "own")), ignore_errors=True)


def test_what_has_ended_is_told_before_the_goodbye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A goodbye names what has begun, and ended tasks no more: the driver would start them in another block."""
    told: list[FromPilot] = []
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs=str(tmp_path / "logs")
    )

    async def live() -> None:
        nodes, changes = [make_node("n0", 4), make_node("n1", 1)], HostChanges()
        pilot = Pilot(config, "0", tmp_path / "own", nodes=nodes, hosts={}, changes=changes)
        monkeypatch.setattr(pilot, "_send", told.append)
        monkeypatch.setattr(pilot._shell, "_send", told.append)
        pilot._receive(Submit([make_task(1, make_spec(cores=4)), make_task(2, make_spec())]))
        changes.tell("n0", "power")
        pilot.leave("it was told to by a signal")
        await pilot._close()

    asyncio.run(live())
    results, goodbye = told
    assert isinstance(results, Results)
    assert [(result.id, result.kind) for result in results.results] == [(1, FAILED)]
    assert goodbye == Goodbye("it was told to by a signal", [])


@pytest.mark.parametrize(("behind", "expected"), [([False, False], [0.5, 4.0, 4.0]), ([False, True], [0.5, 4.0, 0.5])])
def test_a_report_that_takes_long_is_made_seldom_and_only_when_the_driver_has_the_one_before(
    behind: list[bool], expected: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a line for each lease that is out: sixty thousand of them would take all of the pilot's time."""
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs=str(tmp_path / "logs")
    )
    clock, pauses = [0.0], list[float]()

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds
        if len(pauses) > 2:
            raise asyncio.CancelledError

    def report() -> None:
        clock[0] += 0.2

    class Driver(Link):
        sent = 7

        def __init__(self) -> None:
            self.asked: list[int] = []

        def is_behind(self, number: int) -> bool:
            self.asked.append(number)
            return behind[len(self.asked) - 1]

    driver = Driver()

    async def live() -> None:
        pilot = Pilot(config, "0", tmp_path / "own", nodes=[make_node("n0", 4)], hosts={}, changes=HostChanges())
        monkeypatch.setattr(pilot._shell, "report", report)
        monkeypatch.setattr(pilot, "_link", driver)
        monkeypatch.setattr("rhapsody_parsl.pilot.loop.time.monotonic", lambda: clock[0])
        monkeypatch.setattr("rhapsody_parsl.pilot.loop.asyncio.sleep", rest)
        pilot._shell.reports.changed = True
        with pytest.raises(asyncio.CancelledError):
            await pilot._report()

    asyncio.run(live())
    assert pauses == pytest.approx(expected)
    assert driver.asked == [0, 7]


@pytest.mark.parametrize("record", [True, False])
def test_nobody_looks_at_the_nodes_where_no_record_is_wanted(tmp_path: Path, record: bool) -> None:
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs=str(tmp_path / "logs"),
        record=record,
    )  # fmt: skip

    async def live() -> None:
        pilot = Pilot(config, "0", tmp_path / "own", nodes=[make_node("n0", 4)], hosts={}, changes=HostChanges())
        assert (pilot._use is not None) is record
        pilot.leave("it was told to")
        await pilot._close()

    asyncio.run(live())


def test_a_pilot_in_whose_loop_something_breaks_leaves_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connected(_: Pilot) -> None:
        """Nobody is there."""

    async def breaks() -> None:
        raise LookupError("no such run")

    async def live() -> str:
        config = BlockConfig(
            label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs=str(tmp_path / "logs")
        )
        pilot = Pilot(config, "0", tmp_path / "own", nodes=[make_node("n0", 4)], hosts={}, changes=HostChanges())
        kept = [spawn(asyncio.sleep(60), "another"), spawn(breaks(), "watch a worker")]
        kept[0].cancel()
        await asyncio.wait_for(pilot.run(), 20)
        return pilot._leaving.reason

    monkeypatch.setattr(Pilot, "_connect", connected)
    monkeypatch.setattr(Shell, "start", lambda _: None)
    assert asyncio.run(live()) == "the pilot broke: LookupError('no such run')"


@pytest.mark.parametrize(("replicas", "expected"), [(2, ["n0", "n2"]), (3, ["n0", "n2", "n1"])])
def test_services_are_on_hosts_that_are_there_and_else_wait_for_one_that_is_late(
    replicas: int, expected: list[str], tmp_path: Path
) -> None:
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs=str(tmp_path / "logs"),
        services=(CommandService("s", "true", cores=3, replicas=replicas),),
    )  # fmt: skip
    nodes = [make_node(name, 4) for name in ("n0", "n1", "n2")]

    async def live() -> list[str]:
        listener = AgentListener("127.0.0.1", 2, period=1.0, threshold=5.0, bind="tcp://127.0.0.1")
        starter = Starter(NodeLauncher("own", ("env",)), tmp_path / "own", tmp_path, listener)
        late, there = (
            Host(name, starter=starter, listener=listener, on_change=lambda *_: None) for name in ("n1", "n2")
        )
        there._is_up.set()
        hosts = {host.name: host for host in (late, there)}
        pilot = Pilot(config, "0", tmp_path / "own", nodes=nodes, hosts=hosts, changes=HostChanges())
        ledger = pilot._core.ledger
        listener.close()
        assert ledger.accounts["n1"].away
        return [lease.shares[0].node for lease in ledger.leases]

    assert asyncio.run(live()) == expected
