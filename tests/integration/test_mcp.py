"""The apps of a script as tools of an MCP server on its standard streams, asked by the protocol's own client."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from testing.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "mcp_tools.py"
SCRIPT = """
from typing import Iterator

import parsl
from parsl import Config, python_app, bash_app
from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate

print("a script may print")
config = Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])], initialize_logging=False)


@python_app
def sleep(folder: str) -> None:
    import os, time
    open(f"{folder}/{os.getpid()}", "w").close()
    time.sleep(600)


@python_app
def counted(number: int) -> Iterator[int]:
    yield from range(number)


@python_app
@annotate(Policy(result="reference"))
def kept(number: int) -> list[float]:
    import numpy
    return numpy.arange(number) / 2


@python_app
def odd(kind: str) -> float:
    return float("nan") if kind == "nan" else "seven"


@bash_app
def count(word: str, stdout: str = "out") -> int:
    "Count the letters."
    return f"echo counting; exit $(( {len(word)} - 3 ))"


@python_app
def _private() -> None: ...


if __name__ == "__main__":
    raise SystemExit("this is for another time")
"""


@asynccontextmanager
async def served(script: Path, folder: Path) -> AsyncIterator[ClientSession]:
    words = ["-m", "rhapsody_parsl.cli.main", "mcp", str(script)]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ), cwd=folder)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


def test_the_tools_of_the_example(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        told.append((progress, message or ""))

    async def ask() -> list[Any]:
        async with served(EXAMPLE, tmp_path) as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            least = await session.call_tool("energy", {"distance": 1.0})
            wrong = await session.call_tool("energy", {"distance": -1.0})
            relaxed = await session.call_tool("relax", {"steps": 4, "pause": 0.6}, progress_callback=hear)
            return [tools, least, wrong, relaxed]

    tools, least, wrong, relaxed = asyncio.run(ask())
    assert tools.keys() == {"energy", "relax"}
    assert tools["energy"].description == "Return the Lennard-Jones energy of two atoms."
    schema = tools["energy"].input_schema
    assert schema["required"] == ["distance"]
    assert schema["properties"]["distance"]["exclusiveMinimum"] == 0
    assert schema["properties"].keys() == {"distance", "depth"}
    assert least.structured_content == {"result": -1.0}
    assert wrong.is_error
    assert "greater than 0" in wrong.content[0].text
    assert relaxed.structured_content == {"force": 1 / 16}
    assert [state for _, state in told]
    assert [seconds for seconds, _ in told] == sorted(seconds for seconds, _ in told)


def test_what_calls_give_and_a_call_that_is_cancelled_stops_its_task(tmp_path: Path) -> None:
    script = tmp_path / "tools.py"
    script.write_text(SCRIPT)

    async def ask() -> list[Any]:
        async with served(script, tmp_path) as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            failed = await session.call_tool("count", {"word": "four"})
            well = await session.call_tool("count", {"word": "for"})
            many = await session.call_tool("counted", {"number": 100})
            kept = await session.call_tool("kept", {"number": 3})
            odd = [await session.call_tool("odd", {"kind": kind}) for kind in ("nan", "word")]
            marks = tmp_path / "marks"
            marks.mkdir()
            call = asyncio.create_task(session.call_tool("sleep", {"folder": str(marks)}))
            await asyncio.to_thread(until, lambda: list(marks.iterdir()), 30)
            call.cancel()
            pid = int(next(marks.iterdir()).name)
            await asyncio.to_thread(until, lambda: not Path(f"/proc/{pid}").exists(), 30)
            return [tools, failed, well, many, kept, odd]

    tools, failed, well, many, kept, odd = asyncio.run(ask())
    assert tools.keys() == {"sleep", "count", "counted", "kept", "odd"}
    assert tools["count"].input_schema["properties"].keys() == {"word"}
    assert failed.is_error
    assert "BashExitFailure" in failed.content[0].text
    assert well.structured_content == {"result": 0}
    assert many.structured_content == {"result": list(range(100))}  # more than a generator gives that nobody reads
    assert kept.structured_content == {"result": [0.0, 0.5, 1.0]}
    assert [each.is_error for each in odd] == [True, True]
    assert "gave nan" in odd[0].content[0].text
    assert "gave 'seven', which does not fit" in odd[1].content[0].text
