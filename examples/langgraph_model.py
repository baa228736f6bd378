"""A model of the block drives a graph of LangGraph: its tools are an MPI program, a training gang and a Dragon map.

`python examples/langgraph_model.py MODEL`; MODEL is a folder or a name as vLLM takes it. `examples/smollm2.py` makes a
folder with a small real one. The schema of the tool that is next binds what the model may write, so a small model's
calls are right, too. What is large goes from tool to tool by the graph's state, and no model copies it.
"""

import json
import operator
import sys
from typing import Annotated, Any, Literal, TypedDict

import parsl
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from parsl import Config, bash_app, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import MPI, Dragon, DragonRuntime, MPIRuntime, Policy, RhapsodyExecutor, VLLMService, annotate, tool

GOAL = "Find the distance of two argon atoms with the lowest energy. Choose the arguments of the next step."
KNOWN = {"simulate": "pairs", "train": "weights", "screen": "best"}
"""What each step adds to the state."""


class State(TypedDict, total=False):
    """What the graph hands from node to node."""

    messages: Annotated[list[AnyMessage], operator.add]
    pairs: list[tuple[float, float]]
    weights: list[float]
    best: dict[str, float]


@bash_app
@annotate(MPI(ranks=2), Policy(output="text"))
def simulate(points: Literal[6, 12, 24]) -> str:
    """Simulate the energy at so many distances; it prints pairs of distance and energy."""
    import shlex  # noqa: PLC0415 - the function travels without its script
    import sys  # noqa: PLC0415 - as above

    program = f"""
from mpi4py import MPI
world = MPI.COMM_WORLD
mine = [0.9 + 0.5 * i / {points - 1} for i in range({points})][world.rank :: world.size]
found = world.gather([[r, r**-12 - 2 * r**-6] for r in mine])
if found:
    print([pair for part in found for pair in part])
"""
    return f"$PARSL_MPI_PREFIX {sys.executable} -c {shlex.quote(program)}"


@python_app
@annotate(MPI(ranks=2))
def train(
    steps: Literal[2000, 4000, 8000],
    pairs: Annotated[list[tuple[float, float]], InjectedState("pairs")],
    comm: Any = None,
) -> list[float]:
    """Train a model of the energy on what was simulated, with so many steps; give its three parameters."""
    weights = [0.0, 0.0, 0.0]  # of 1, r**-6 and r**-12
    for _ in range(steps):  # each rank has a part of the data; the gradients are added up
        slope = [0.0, 0.0, 0.0]
        for r, energy in pairs[comm.rank :: comm.size]:
            terms = [1.0, r**-6, r**-12]
            error = sum(w * t for w, t in zip(weights, terms, strict=True)) - energy
            slope = [s + error * t / len(pairs) for s, t in zip(slope, terms, strict=True)]
        weights = [w - 0.3 * comm.allreduce(s) for w, s in zip(weights, slope, strict=True)]
    return weights


@python_app
@annotate(Dragon(cores=0))  # it waits for the tasks that it submits
def screen(points: Literal[36, 71, 141], weights: Annotated[list[float], InjectedState("weights")]) -> dict[str, float]:
    """Screen so many distances with the trained model; give the best one."""
    from rhapsody_parsl import block  # noqa: PLC0415 - the function travels without its script

    def energy(r: float) -> float:
        return weights[0] + weights[1] * r**-6 + weights[2] * r**-12

    candidates = [0.8 + 0.7 * i / (points - 1) for i in range(points)]
    with block() as here:
        energies = list(here.map(energy, candidates))
    best = min(range(points), key=energies.__getitem__)
    return {"distance": round(candidates[best], 3), "energy": round(energies[best], 3)}


def agent(model: ChatOpenAI) -> Any:
    """Return the graph: the model chooses the arguments of each step until the last one is done."""
    tools = {each.name: each for each in map(tool, (simulate, train, screen))}

    def think(state: State) -> State:
        step = next(name for name, key in KNOWN.items() if key not in state)
        words = f"{GOAL} The next step is '{step}'."
        wanted = {"name": step, "schema": tools[step].tool_call_schema.model_json_schema()}
        bound = model.bind(response_format={"type": "json_schema", "json_schema": wanted})
        arguments = json.loads(bound.invoke([HumanMessage(words)]).content)
        return {"messages": [AIMessage("", tool_calls=[{"name": step, "args": arguments, "id": step}])]}

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(list(tools.values())))
    graph.add_node("note", note)
    graph.add_edge(START, "think")
    graph.add_edge("think", "tools")
    graph.add_edge("tools", "note")
    graph.add_conditional_edges("note", lambda state: "__end__" if "best" in state else "think")
    return graph.compile()


def note(state: State) -> dict[str, Any]:
    """Keep what the last tool has found.

    Raises:
        RuntimeError: It failed.
    """
    last: Any = state["messages"][-1]
    if last.status == "error":
        raise RuntimeError(last.content)
    found = json.loads(last.content)
    return {KNOWN[last.name]: json.loads(found["stdout"]) if last.name == "simulate" else found}


def main(model: str) -> None:
    """Run the agent and print what it did."""
    exact = {"backend": "xgrammar", "disable_any_whitespace": True}  # else a model may write blanks without end
    engine = {"max_model_len": 2048, "structured_outputs_config": exact}
    executor = RhapsodyExecutor(
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[DragonRuntime(), MPIRuntime()],
        services=[VLLMService("assistant", model, cores=0, engine_args=engine)],
        cores_per_node=2,
    )
    with parsl.load(Config(executors=[executor], initialize_logging=False)):
        executor.services["assistant"].wait_ready()
        door = {"base_url": executor.openai_url(), "api_key": executor.openai_key}
        said = agent(ChatOpenAI(model="assistant", temperature=0, max_tokens=64, **door)).invoke({"messages": []})
    for message in said["messages"]:
        calls = getattr(message, "tool_calls", None)
        print(f"model: {calls[0]['name']} {calls[0]['args']}" if calls else f"{message.name}: done")
    print(f"the lowest energy is {said['best']['energy']}, at {said['best']['distance']}")


if __name__ == "__main__":
    main(sys.argv[1])
