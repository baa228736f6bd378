"""Apps as tools of LangGraph, in a block: whole graphs, calls that nobody wants any more, agents that are tasks."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app

pytest.importorskip("langgraph")

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, tool
from testing.waiting import until
from tests.integration import apps, graphs

TIMEOUT = 60
EXAMPLE = Path(__file__).parents[2] / "examples" / "langgraph_tools.py"


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    executor = RhapsodyExecutor(label="all", runtimes=[LocalRuntime()], cores_per_node=2)
    folder = str(tmp_path_factory.mktemp("graphs"))
    with parsl.load(Config([executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


@pytest.mark.dragon
@pytest.mark.mpi
def test_an_agent_with_a_launch_a_gang_and_a_map(tmp_path: Path) -> None:
    words = [sys.executable, str(EXAMPLE)]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith("ai: The lowest energy is at 1.0.\n3 results of tools\n")


def test_a_call_that_the_agent_gives_up_stops_its_task(block: RhapsodyExecutor, tmp_path: Path) -> None:
    async def give_up() -> None:
        call = asyncio.create_task(tool(python_app(apps.sleep_with_a_child)).ainvoke({"folder": str(tmp_path)}))
        await asyncio.to_thread(until, (tmp_path / "pids").exists, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(give_up())
    pids = (tmp_path / "pids").read_text().split()
    until(lambda: not any(Path("/proc", pid).exists() for pid in pids), 30)


def test_a_program_and_its_failure_are_messages(block: RhapsodyExecutor) -> None:
    program: Any = tool(bash_app(graphs.program))
    assert program.invoke({"line": "echo words"})["stdout"] == "words\n"
    told = program.invoke({"line": "echo why >&2; exit 3"})
    assert "BashExitFailure" in told
    assert "why" in told


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_agent_that_is_a_task_has_its_tools_in_its_block(way: str, block: RhapsodyExecutor) -> None:
    found = block.submit(graphs.agent, {"cores": 0}, way).result(TIMEOUT)
    assert found["contents"] == ["3", "ZeroDivisionError: integer modulo by zero"]
    assert found["pid"] not in {os.getpid(), found["own"]}
