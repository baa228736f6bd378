"""Launched apps that their block cannot start are told why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.annotations.annotation import parse
from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import RhapsodyError, RuntimeUnavailable
from rhapsody_parsl.runtimes.mpi.launch.executables import Executables
from rhapsody_parsl.runtimes.mpi.launch.launcher import Kind, Launcher
from rhapsody_parsl.runtimes.protocol import Run
from testing.nodes import make_context, make_node


class Heard:
    def __init__(self) -> None:
        self.lost_runs: dict[int, RhapsodyError] = {}

    def lost(self, run: int, error: RhapsodyError, untouched: Any = ()) -> None:
        self.lost_runs[run] = error


@pytest.mark.parametrize("kind", ["mpiexec", "aprun"])
def test_groups_need_a_launcher_that_numbers_its_ranks(kind: Kind, tmp_path: Path) -> None:
    spec, _ = parse({"groups": [{"ranks": 1}, {"ranks": 1}]})
    heard = Heard()

    async def story() -> None:
        context = make_context(tmp_path, heard, make_node("n0"))
        Executables(MPIRuntime(), context, Launcher(kind, "/x/mpiexec")).run(Run(7, spec, ()), [])
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(story())
    assert isinstance(heard.lost_runs[7], RuntimeUnavailable)
    assert f"launcher '{kind}' tells no rank its number" in str(heard.lost_runs[7])
