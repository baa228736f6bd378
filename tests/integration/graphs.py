"""Agents and their tools that the integration tests send: a worker imports this module by its name."""

import asyncio
import os
from typing import Any

from rhapsody_parsl import Policy, annotate


@annotate(Policy(output="text"))
def program(line: str) -> str:
    return line


def remainder(number: int, by: int) -> int:
    return number % by


def process_id() -> int:
    return os.getpid()


def agent(way: str) -> dict[str, Any]:
    """Be an agent: call tools by a graph, and tell what they gave and where they ran."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    from rhapsody_parsl import tool

    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool(remainder), tool(process_id)]))
    graph.add_edge(START, "tools")
    asked = [
        {"name": "remainder", "args": {"number": 13, "by": 10}, "id": "1"},
        {"name": "remainder", "args": {"number": 1, "by": 0}, "id": "2"},
        {"name": "process_id", "args": {}, "id": "3"},
    ]
    state: Any = {"messages": [AIMessage("", tool_calls=asked)]}
    made = graph.compile()
    said = made.invoke(state) if way == "sync" else asyncio.run(made.ainvoke(state))
    *_, first, second, third = (message.content for message in said["messages"])
    return {
        "contents": [first, second.partition("\n")[0]],
        "pid": int(third),
        "own": os.getpid(),
    }
