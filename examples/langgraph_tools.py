"""An agent of LangGraph whose tools are an MPI program, a training gang and a Dragon map.

`python examples/langgraph_tools.py`. A script plays the model; docs/agents.md says how a model of the block does.
"""

import json
import operator
from typing import Annotated, Any, TypedDict

import parsl
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from parsl import Config, bash_app, python_app
from pydantic import Field

from rhapsody_parsl import MPI, Dragon, DragonRuntime, MPIRuntime, Policy, RhapsodyExecutor, annotate, node, tool

GOAL = "Find the distance of two argon atoms with the lowest energy."


@bash_app
@annotate(MPI(ranks=2), Policy(output="text"))
def simulate(distances: Annotated[list[float], Field(description="in units of the minimum, 0.8 to 1.5")]) -> str:
    """Run the simulation; it prints pairs of distance and energy."""
    import shlex  # noqa: PLC0415 - the function travels without its script
    import sys  # noqa: PLC0415 - as above

    program = f"""
from mpi4py import MPI
world = MPI.COMM_WORLD
mine = {distances}[world.rank :: world.size]
found = world.gather([[r, r**-12 - 2 * r**-6] for r in mine])
if found:
    print([pair for part in found for pair in part])
"""
    return f"$PARSL_MPI_PREFIX {sys.executable} -c {shlex.quote(program)}"


@python_app
@annotate(MPI(ranks=2))
def train(pairs: list[tuple[float, float]], comm: Any = None) -> list[float]:
    """Train a model of the energy on pairs of distance and energy; give its three parameters."""
    weights = [0.0, 0.0, 0.0]  # of 1, r**-6 and r**-12
    for _ in range(4000):  # each rank has a part of the data; the gradients are added up
        slope = [0.0, 0.0, 0.0]
        for r, energy in pairs[comm.rank :: comm.size]:
            terms = [1.0, r**-6, r**-12]
            error = sum(w * t for w, t in zip(weights, terms, strict=True)) - energy
            slope = [s + error * t for s, t in zip(slope, terms, strict=True)]
        weights = [w - 0.05 * comm.allreduce(s) for w, s in zip(weights, slope, strict=True)]
    return weights


@python_app
@annotate(Dragon(cores=0))  # it waits for the tasks that it submits
def screen(weights: list[float], low: float = 0.8, high: float = 1.5, points: int = 71) -> dict[str, float]:
    """Screen many distances with the model; give the best one."""
    from rhapsody_parsl import block  # noqa: PLC0415 - the function travels without its script

    def energy(r: float) -> float:
        return weights[0] + weights[1] * r**-6 + weights[2] * r**-12

    candidates = [low + (high - low) * i / (points - 1) for i in range(points)]
    with block() as here:
        energies = list(here.map(energy, candidates))
    best = min(range(points), key=energies.__getitem__)
    return {"distance": round(candidates[best], 3), "energy": energies[best]}


class State(TypedDict, total=False):
    """What the graph hands from node to node."""

    messages: Annotated[list[AnyMessage], operator.add]
    calls: int


@python_app
def count(state: State) -> dict[str, int]:
    """Count the results of tools; a node that is an app."""
    return {"calls": sum(message.type == "tool" for message in state["messages"])}


def agent(model: Any) -> Any:
    """Return the graph: the model calls tools until it has its answer."""
    tools = [tool(simulate), tool(train), tool(screen)]

    def think(state: State) -> State:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_node("count", node(count))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition, {"tools": "tools", "__end__": "count"})
    graph.add_edge("tools", "think")
    return graph.compile()


class Script(BaseChatModel):  # type: ignore[misc]  # its package is not read
    """What stands for a model: it calls the tools one after the other, each with what the one before has found."""

    @property
    def _llm_type(self) -> str:
        return "script"

    def _generate(self, messages: list[Any], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages[-1]))])

    def _next(self, last: AnyMessage) -> AIMessage:
        match getattr(last, "name", None):
            case "simulate":
                return _call("train", pairs=json.loads(json.loads(str(last.content))["stdout"]))
            case "train":
                return _call("screen", weights=json.loads(str(last.content)))
            case "screen":
                return AIMessage(f"The lowest energy is at {json.loads(str(last.content))['distance']}.")
            case _:
                return _call("simulate", distances=[0.9, 1.0, 1.1, 1.2, 1.3, 1.4])


def _call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])


def main() -> None:
    """Run the agent and print what it did."""
    executor = RhapsodyExecutor(runtimes=[DragonRuntime(), MPIRuntime()], cores_per_node=2)
    with parsl.load(Config(executors=[executor], initialize_logging=False)):
        said = agent(Script()).invoke({"messages": [HumanMessage(GOAL)]})
    for message in said["messages"]:
        print(f"{message.type}: {message.content or message.tool_calls}")
    print(f"{said['calls']} results of tools")


if __name__ == "__main__":
    main()
