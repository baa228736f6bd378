"""What a call of a tool costs in an agent of LangGraph's, from the model's answer to the app's start and back.

`python -m benchmarks tools` has one graph of a scripted model and one tool, an app of plain workers. The agent makes a
chain of calls, one after the other. Each is stamped where the model has answered, where the app starts, and where the
model is asked again. The same calls are made without a graph, and without tool and graph: an app's future alone.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import parsl
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from parsl import Config, python_app

from benchmarks.library import machine
from benchmarks.library.stamped import now
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, tool

WARM = 50
Stamps = list[tuple[float, float, float]]
"""Of each call: when the model had asked, when the app started, when the model had the answer."""


class Chain:
    """An agent whose model asks for a tool again and again; it keeps no history, which would grow with each call."""

    def __init__(self, made: Any, count: int) -> None:
        self.stamps: Stamps = []
        self._left = count
        self._asked = 0.0
        graph = StateGraph(Latest)
        graph.add_node("think", self._think)
        graph.add_node("tools", ToolNode([made]))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        self._graph = graph.compile()

    def run(self, way: str) -> Stamps:
        """Run it; `ainvoke` or `invoke`."""
        steps: Any = {"recursion_limit": 2 * self._left + 10}
        begin: Any = {"messages": []}
        if way == "invoke":
            self._graph.invoke(begin, steps)
        else:
            asyncio.run(self._graph.ainvoke(begin, steps))
        return self.stamps

    def _think(self, state: "Latest") -> dict[str, Any]:
        if state["messages"]:
            self.stamps.append((self._asked, float(state["messages"][-1].content), time.time()))
        if not self._left:
            return {"messages": [AIMessage("done")]}
        self._left -= 1
        answer = AIMessage("", tool_calls=[{"name": "now", "args": {"number": self._left}, "id": str(self._left)}])
        self._asked = time.time()
        return {"messages": [answer]}


class Latest(TypedDict):
    """What goes from node to node: the newest message alone."""

    messages: list[Any]


def plainly(call: Callable[[int], Any], count: int) -> Stamps:
    """Make the calls one after the other, without a graph."""
    stamps = []
    for number in range(count):
        asked = time.time()
        began = float(call(number))
        stamps.append((asked, began, time.time()))
    return stamps


def measure(count: int) -> dict[str, dict[str, float]]:
    """Measure each way once."""
    app = python_app(now)
    made = tool(app)
    ways: dict[str, Callable[[], Stamps]] = {
        "an app of Parsl's": lambda: plainly(lambda number: app(number).result(), count),
        "its tool": lambda: plainly(lambda number: made.invoke({"number": number}), count),
        "a graph, `invoke`": lambda: Chain(made, count).run("invoke"),
        "a graph, `ainvoke`": lambda: Chain(made, count).run("ainvoke"),
    }
    return {way: summary(stamps()) for way, stamps in ways.items()}


def summary(stamps: Stamps) -> dict[str, float]:
    """Return milliseconds: medians there, back and in all, and what nine of ten calls take at most."""
    whole = sorted(1e3 * (ended - asked) for asked, _, ended in stamps)
    return {
        "there": 1e3 * statistics.median(began - asked for asked, began, _ in stamps),
        "back": 1e3 * statistics.median(ended - began for _, began, ended in stamps),
        "median": statistics.median(whole),
        "most": whole[9 * len(whole) // 10],
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few calls, to see that it runs")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    count, repeat = (20, 1) if arguments.quick else (1_000, arguments.repeat)
    executor = RhapsodyExecutor(label="tools", runtimes=[LocalRuntime()], cores_per_node=2)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")
        with parsl.load(config):
            measure(min(count, WARM))
            runs = [measure(count) for _ in range(repeat)]
    report(runs, arguments.out)


def report(runs: list[dict[str, dict[str, float]]], out: Path) -> None:
    """Print the table; write JSON."""
    medians = {
        way: {part: statistics.median(run[way][part] for run in runs) for part in parts}
        for way, parts in runs[0].items()
    }
    rows = [[way, *(f"{value:.3f}" for value in parts.values())] for way, parts in medians.items()]
    machine.show("A call of a no-op, ms", ["", "to its start", "and back", "in all", "9 of 10 below"], rows)
    print(f"written: {machine.write(out, 'tools', {'medians': medians, 'runs': runs})}")


if __name__ == "__main__":
    main()
