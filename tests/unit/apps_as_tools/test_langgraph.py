"""Apps as tools and nodes of LangGraph, on threads; tests/integration/test_langgraph.py has a block."""

import asyncio
import sys
from typing import Annotated, Any

import pytest
from parsl import python_app

pytest.importorskip("langgraph")
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel, Field, InstanceOf
from typing_extensions import TypedDict

from rhapsody_parsl import MPI, annotate, node, tool
from rhapsody_parsl.errors import InvalidTask, MissingPackage


class Pair(BaseModel):
    first: int
    second: int = 1


class State(TypedDict, total=False):
    messages: list[Any]
    number: int


@python_app
@annotate(MPI(ranks=2))
def divide(pair: Pair, by: Annotated[int, Field(gt=-5, description="not 0")], comm: Any = None) -> list[float]:
    """Divide a pair."""
    return [pair.first / by, pair.second / by]


def increase(state: State) -> dict[str, int]:
    return {"number": state["number"] + 1}


def peek(state: Annotated[State, InjectedState], word: str) -> str:
    """Look at the state."""
    return word * state["number"]


class Plain:
    """Of no schema."""


def find(place: Annotated[InstanceOf[Plain], InjectedState("place")], word: str) -> str:
    """Find a word."""
    return word


def called(*tools: Any, number: int = 0, **calls: dict[str, Any]) -> dict[str, Any]:
    """Return the messages that a graph gets from tools, by name."""
    graph = StateGraph(State)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "tools")
    asked = [{"name": name, "args": arguments, "id": name} for name, arguments in calls.items()]
    state = {"messages": [AIMessage("", tool_calls=asked)], "number": number}
    said = asyncio.run(graph.compile().ainvoke(state))["messages"]
    assert graph.compile().invoke(state)["messages"] == said
    return {message.name: message for message in said}


def test_the_schema_is_the_signature() -> None:
    made = tool(divide)
    assert (made.name, made.description) == ("divide", "Divide a pair.")
    schema = made.tool_call_schema.model_json_schema()
    assert schema["required"] == ["pair", "by"]
    assert schema["properties"]["by"] == {
        "description": "not 0", "exclusiveMinimum": -5, "title": "By", "type": "integer",
    }  # fmt: skip
    assert schema["$defs"]["Pair"]["required"] == ["first"]
    other = tool(divide, name="parts", description="Take apart.")
    assert (other.name, other.description) == ("parts", "Take apart.")


def test_what_no_model_is_told_of_needs_no_schema() -> None:
    assert list(tool(find).tool_call_schema.model_json_schema()["properties"]) == ["word"]

    def found(place: InstanceOf[Plain]) -> int:
        return 1

    with pytest.raises(InvalidTask, match="place"):
        tool(found)


def test_a_call_an_error_and_what_the_schema_refuses_are_messages(threads: None) -> None:
    good = called(tool(divide), divide={"pair": {"first": 4}, "by": 2})["divide"]
    assert (good.content, good.status) == ("[2.0, 0.5]", "success")
    failed = called(tool(divide), divide={"pair": {"first": 4}, "by": 0})["divide"]
    assert failed.status == "error"
    assert failed.content.startswith("ZeroDivisionError: division by zero")
    refused = called(tool(divide), divide={"pair": {"first": 4}, "by": -9})["divide"]
    assert refused.status == "error"
    assert "greater than -5" in refused.content


def test_names_that_langchain_would_not_pass_on_are_refused() -> None:
    for function in (lambda config: config, lambda run_manager=1: run_manager, lambda model_dump: model_dump):
        with pytest.raises(InvalidTask, match="Rename the parameter"):
            tool(function)
    assert tool(lambda model_path: model_path, name="load").args.keys() == {"model_path"}


def test_a_tool_may_have_the_state_which_no_model_sees(threads: None) -> None:
    made = tool(peek)
    assert made.tool_call_schema.model_json_schema()["properties"].keys() == {"word"}
    assert called(made, number=3, peek={"word": "a"})["peek"].content == "aaa"


def test_a_node_gets_the_state_and_updates_it(threads: None) -> None:
    graph = StateGraph(State)
    graph.add_node(node(increase))
    graph.add_edge(START, "increase")
    assert graph.compile().invoke({"number": 1})["number"] == 2
    assert asyncio.run(graph.compile().ainvoke({"number": 1}))["number"] == 2
    with pytest.raises(KeyError):
        graph.compile().invoke({"messages": []})


@pytest.mark.parametrize("make", [tool, node])
def test_without_the_package_the_extra_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tools", "runnables"):
        monkeypatch.setitem(sys.modules, f"langchain_core.{name}", None)
    with pytest.raises(MissingPackage, match=r"rhapsody-parsl\[langgraph\]"):
        make(increase)
