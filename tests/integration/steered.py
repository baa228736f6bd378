"""A model of a block drives the graph of an example."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import RhapsodyExecutor

_EXAMPLE = Path(__file__).parents[2] / "examples" / "langgraph_model.py"


def steered(executor: RhapsodyExecutor, model: str) -> tuple[list[Any], dict[str, float]]:
    """Return the model's calls of tools, and what they found."""
    chat = pytest.importorskip("langchain_openai").ChatOpenAI
    found = importlib.util.spec_from_file_location("langgraph_model", _EXAMPLE)
    assert found is not None
    assert found.loader is not None
    example = importlib.util.module_from_spec(found)  # no worker can import it: its apps travel whole, as a script's
    found.loader.exec_module(example)
    door = {"base_url": executor.openai_url(), "api_key": executor.openai_key, "max_retries": 0}
    said = example.agent(chat(model=model, temperature=0, max_tokens=64, **door)).invoke({"messages": []})
    return [call for message in said["messages"] for call in getattr(message, "tool_calls", [])], said["best"]
