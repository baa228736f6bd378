"""Our providers, under our executor and under Parsl's: the allocation we stand in, and one job for two executors."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, HighThroughputExecutor, python_app
from parsl.executors.base import ParslExecutor
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.states import JobState
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider
from parsl.providers.base import ExecutionProvider
from parsl.providers.errors import SubmitException

from rhapsody_parsl import AllocationProvider, LocalRuntime, RhapsodyExecutor, SharedBlock
from testing import leaks
from testing.processes import below
from testing.waiting import until, until_gone
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

PATIENCE = 60
two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two shares need two cores")


def mask() -> list[int]:
    import os

    return sorted(os.sched_getaffinity(0))


def ours(provider: ExecutionProvider) -> RhapsodyExecutor:
    return RhapsodyExecutor(label="ours", provider=provider, runtimes=[LocalRuntime()], address="127.0.0.1")


def parsls(provider: ExecutionProvider) -> HighThroughputExecutor:
    return HighThroughputExecutor(
        label="parsls", provider=provider, address="127.0.0.1", heartbeat_period=2, heartbeat_threshold=6
    )


@contextmanager
def loaded(*executors: ParslExecutor) -> Iterator[None]:
    with parsl.load(Config(executors=executors, strategy="none", initialize_logging=False)):
        yield
    parsl.clear()


@pytest.fixture
def allocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation of this host, as a file says."""
    file = tmp_path / "hosts"
    file.write_text(f"{socket.gethostname()}\n")
    monkeypatch.setenv("RHAPSODY_HOSTFILE", str(file))


@pytest.mark.usefixtures("allocation")
@pytest.mark.parametrize("make", [ours, parsls])
def test_the_allocation_is_the_block(make: Any) -> None:
    provider = AllocationProvider()
    executor = make(provider)
    with loaded(executor):
        assert python_app(apps.add)(1).result(PATIENCE) == 2
        until(lambda: executor.status()["0"].state is JobState.RUNNING)
    assert states(provider) == [JobState.CANCELLED]


@pytest.mark.usefixtures("allocation")
def test_the_commands_end_is_told_and_its_tree_gone() -> None:
    provider = AllocationProvider(worker_init="echo ready", cmd_timeout=1)
    assert provider.nodes_per_block == 1
    (done,) = provider.status([provider.submit("exit 3", 1, "short")])
    assert not done.terminal
    job = provider.submit("sleep 1001 & setsid sleep 1001 & wait", 1, "long")  # once the first has left
    (first,) = (provider.status([id_])[0] for id_ in provider.resources if id_ != job)
    assert (first.state, first.exit_code, first.stdout) == (JobState.FAILED, 3, "ready\n")
    sleeps = until(lambda: len(found := below("sleep 1001")) == 2 and found)
    with pytest.raises(SubmitException, match="one block"):
        provider.submit("true", 1, "second")
    assert provider.cancel([job]) == [True]
    assert provider.status([job])[0].state is JobState.CANCELLED
    until_gone([process.pid for process in sleeps] if sleeps else [], 1)


DRIVER = """
from rhapsody_parsl import AllocationProvider
AllocationProvider().submit("setsid sleep 1004 & wait", 1, "long")
input()
"""


@pytest.mark.usefixtures("allocation")
def test_the_command_ends_with_a_driver_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE) as driver:
        sleeps = until(lambda: [process for process in below("sleep 1004") if "-c" not in process.cmdline()])
        driver.kill()
    until_gone([process.pid for process in sleeps])


def local() -> Any:
    """Return the provider of the jobs; Any, because Parsl has not typed it."""
    return LocalProvider(launcher=SimpleLauncher())


def states(provider: Any) -> list[JobState]:
    leaks.below()  # it buries our orphans: to a LocalProvider a zombie is alive
    return [status.state for status in provider.status(list(provider.resources))]


@two_cores
def test_two_executors_share_a_job_on_cores_of_their_own() -> None:
    inner = local()
    block = SharedBlock(inner)
    one, other = ours(block.share(cores=1)), parsls(block.share(cores=1))
    with loaded(one, other):
        masks = [python_app(mask, executors=[label])().result(PATIENCE) for label in ("ours", "parsls")]
        assert masks == [[core] for core in sorted(os.sched_getaffinity(0))[:2]]
        assert states(inner) == [JobState.RUNNING]
        assert one.workers_per_node == other.workers_per_node == 1
        one.scale_in_facade(1)
        assert python_app(apps.add, executors=["parsls"])(1).result(PATIENCE) == 2
        assert states(inner) == [JobState.RUNNING]
        until(lambda: not below("rhapsody_parsl.pilot"), 20)
    until(lambda: states(inner) == [JobState.CANCELLED], 10)


def ended(executor: BlockProviderExecutor) -> bool:
    return executor.status()["0"].terminal


@two_cores
def test_a_killed_job_is_reported_to_both() -> None:
    inner = local()
    block = SharedBlock(inner)
    one, other = ours(block.share(cores=1)), parsls(block.share(cores=1))
    with loaded(one, other):
        for label in ("ours", "parsls"):
            python_app(mask, executors=[label])().result(PATIENCE)
        (supervisor,) = [process for process in below("hosts.share_supervisor") if "-c" not in process.cmdline()]
        supervisor.kill()
        for executor in (one, other):
            until(partial(ended, executor), 10)
            assert "shared job" in str(executor.status()["0"].message)


@two_cores
def test_a_share_starts_again_in_the_running_job_and_the_last_ends_it(tmp_path: Path) -> None:
    inner = local()
    block = SharedBlock(inner)
    first, second = block.share(cores=1), block.share(cores=1)
    first.script_dir = second.script_dir = str(tmp_path)
    staying, short = second.submit("sleep 1002", 1, "staying"), first.submit("echo $PARSL_CORES; exit 3", 1, "short")
    ended = until(lambda: (status := first.status([short])[0]).terminal and status, 10)
    assert ended
    assert (ended.state, ended.exit_code, ended.stdout) == (JobState.FAILED, 3, "1\n")
    again = first.submit("true", 1, "again")
    until(lambda: first.status([again])[0].state is JobState.COMPLETED, 10)
    assert len(inner.resources) == 1
    assert second.cancel([staying]) == [True]
    assert second.status([staying])[0].state is JobState.CANCELLED
    until(lambda: not below("sleep 1002") and not below("supervisor"), 10)
    third = first.submit("true", 1, "third")
    until(lambda: first.status([third])[0].state is JobState.COMPLETED, 10)
    assert len(inner.resources) == 2
