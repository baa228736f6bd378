"""Who speaks to the driver: strangers, who are not heard, and pilots that are started again or twice."""

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockLost
from rhapsody_parsl.executors.executor import DEFAULT_LAUNCH_CMD
from testing.processes import processes_of
from testing.strangers import bombarded
from testing.waiting import until
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60
MOST_LINES = 20
"""Lines of the log about strangers, however many knock."""


@contextlib.contextmanager
def one_block(**options: Any) -> Iterator[RhapsodyExecutor]:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = RhapsodyExecutor(
        label="open", runtimes=[LocalRuntime()], cores_per_node=2, provider=provider, **options
    )  # fmt: skip
    with executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        yield executor


def pilot() -> psutil.Process:
    return processes_of("rhapsody_parsl.pilot")[0]


@pytest.mark.parametrize("encrypted", [False, True])
def test_strangers_are_not_heard_however_many(encrypted: bool, caplog: pytest.LogCaptureFixture) -> None:
    with one_block(encrypted=encrypted, address="127.0.0.1") as executor, caplog.at_level(logging.WARNING):
        assert executor._link is not None
        before = pilot().pid
        (block,) = executor._link.blocks
        with bombarded(executor._link.port, [b"0", block.peer.encode(), b"1", b"x"]) as strangers:
            for start in range(0, 1000, 100):
                futures = [executor.submit(apps.add, {}, number) for number in range(start, start + 100)]
                assert [future.result(TIMEOUT) for future in futures] == list(range(start + 1, start + 101))
            until(lambda: all(each.knocks > 200 for each in strangers), 30)
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        assert (pilot().pid, executor.connected_blocks(), len(executor._link.blocks)) == (before, ["0"], 1)
    words = [record.message for record in caplog.records if record.name.startswith("rhapsody_parsl.wire")]
    assert any("a stranger on tcp://" in line and "was refused" in line for line in words)
    assert len(words) < MOST_LINES


@pytest.mark.parametrize("address", [None, "127.0.0.1"])
def test_a_pilot_that_is_started_again_takes_the_blocks_place(address: str | None) -> None:
    """As when a batch system requeues a job: the number stays, the process is another one."""
    again = f"{DEFAULT_LAUNCH_CMD} || {DEFAULT_LAUNCH_CMD}"
    with one_block(address=address, launch_cmd=again, heartbeat_period=0.5) as executor:
        lost = executor.submit(apps.nap, {}, 60)
        kept = executor.submit(apps.nap, {"on_loss": "rerun"}, 0.5)
        until(lambda: executor.snapshot()["blocks"][0]["tasks"].get("running") == 2, 20)
        os.kill(pilot().pid, signal.SIGKILL)
        assert kept.result(TIMEOUT) == 0.5
        problem = lost.exception(TIMEOUT)
        assert isinstance(problem, BlockLost)
        assert "its pilot was started again" in str(problem)
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        assert executor.connected_blocks() == ["0"]


def test_a_second_pilot_of_a_block_is_not_heard_while_the_first_lives() -> None:
    """As with a launcher that starts the command once for each node."""
    twice = f"{DEFAULT_LAUNCH_CMD} & {DEFAULT_LAUNCH_CMD} & wait"
    with one_block(launch_cmd=twice, heartbeat_period=0.5, heartbeat_threshold=3) as executor:
        until(lambda: len(processes_of("rhapsody_parsl.pilot")) == 1, 30)
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        assert executor.connected_blocks() == ["0"]
