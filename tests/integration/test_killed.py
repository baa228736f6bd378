"""Whatever one process of a block is killed with -9, nothing of the block is left soon after its end.

In a block with all runtimes at work. `RHAPSODY_KILLS=all` kills one of each kind; without it, those that nobody but the
process above them sweeps for.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import (
    DragonRuntime,
    LocalRuntime,
    MPIRuntime,
    RhapsodyExecutor,
    VLLMService,
)
from testing.fake_openai import COMMAND
from testing.processes import below, command_of
from testing.waiting import until
from tests.integration import apps

pytestmark = [pytest.mark.dragon, pytest.mark.mpi]


def is_guard(process: psutil.Process, *words: str) -> bool:
    """Whether it stands over a command that has these words."""
    line = command_of(process)
    options, _, command = line.partition(" -- ")
    return "hosts/guard.py" in options and all(word in command for word in words)


def guard_over(*words: str) -> Callable[[psutil.Process], bool]:
    return lambda process: is_guard(process, *words)


def at_work(*words: str) -> Callable[[psutil.Process], bool]:
    """Match a process whose own command line has these words: no guard's, and no shell's that leads to it."""

    def matches(process: psutil.Process) -> bool:
        line = command_of(process)
        return all(word in line for word in words) and "guard.py" not in line and "bash" not in line

    return matches


def program(process: psutil.Process) -> str:
    return command_of(process).partition(" ")[0]


GUARDS = {
    "the pilot's guard": guard_over("-m rhapsody_parsl.pilot"),
    "the guard over Dragon": guard_over("bin/dragon"),
    "the guard over a world": guard_over("mpiexec", "mpi.world.rank"),
    "the guard over an engine": guard_over("vllm.command"),
}
OTHERS = {
    "the pilot": at_work("-m rhapsody_parsl.pilot"),
    "Dragon's launcher": at_work("bin/dragon -s"),
    "Dragon's head": lambda process: at_work("dragon/backend.py")(process) and "bin/dragon" not in command_of(process),
    "a worker of Dragon's": at_work("dragon.worker"),
    "a world's mpiexec": lambda process: at_work("mpi.world.rank")(process) and "mpiexec" in program(process),
    "a proxy of Hydra's": at_work("hydra_pmi_proxy"),
    "a rank": lambda process: at_work("-m rhapsody_parsl.runtimes.mpi.world.rank")(process)
    and "mpi" not in program(process),
    "an engine's process": at_work("-m rhapsody_parsl.runtimes.vllm.command"),
    "an engine's server": at_work("fake_openai.py"),
    "a plain worker": at_work("-m rhapsody_parsl.worker"),
}  # fmt: skip
KINDS: dict[str, Any] = {**GUARDS, **OTHERS} if os.environ.get("RHAPSODY_KILLS") == "all" else GUARDS


def block() -> RhapsodyExecutor:
    service = VLLMService("fake", model="m", cores=0, server="command", executable=COMMAND)
    return RhapsodyExecutor(
        label="killed",
        runtimes=[DragonRuntime(), LocalRuntime(), MPIRuntime()],
        services=[service],
        cores_per_node=8,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )


def load(executor: RhapsodyExecutor, folder: Path) -> None:
    """Have each runtime work on something long."""
    for runtime in ("dragon", "local"):
        (folder / runtime).mkdir()
        executor.submit(apps.sleep_with_a_child, {"runtime": runtime}, str(folder / runtime))
    executor.submit(apps.sleep_on_ranks, {"runtime": "mpi", "num_ranks": 2}, str(folder / "rank"))
    until(lambda: all((folder / name).exists() for name in ("dragon/pids", "local/pids", "rank")))
    until(lambda: any(at_work("fake_openai.py")(process) for process in below()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("elsewhere")
def test_nothing_is_left(kind: str, tmp_path: Path) -> None:
    with block() as executor:
        load(executor, tmp_path)
        victims = [process for process in below() if KINDS[kind](process)]
        assert victims, [command_of(process) for process in below()]
        victims[0].kill()
        time.sleep(2)  # what follows from it has begun, and the block may be in the middle of it


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.3])  # before there is a pilot below it, and after that
def test_nothing_is_left_of_a_block_whose_guard_is_killed_as_it_starts(delay: float) -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = RhapsodyExecutor(label="killed", runtimes=[LocalRuntime()], cores_per_node=2, provider=provider)
    with executor:
        until(lambda: [process for process in below() if GUARDS["the pilot's guard"](process) and process.children()])
        guards = [process for process in below() if GUARDS["the pilot's guard"](process)]
        guard = min(guards, key=psutil.Process.create_time)  # what it forks looks like it, before it is the command
        time.sleep(delay)
        guard.kill()
        time.sleep(1)
