"""What the server reads of a script; the server itself is asked in tests/integration/test_mcp.py."""

import asyncio
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from parsl import python_app

from rhapsody_parsl.cli import mcp
from rhapsody_parsl.cli.main import main
from rhapsody_parsl.errors import InvalidTask

pytest.importorskip("mcp")
from mcp.server.mcpserver.exceptions import ToolError


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder: Path, text: str) -> Path:
    script = folder / "script.py"
    script.write_text(text)
    return script


def test_a_script_is_run_as_main_but_for_its_guard(tmp_path: Path) -> None:
    names = mcp.run(write(tmp_path, "a = __name__\nif __name__ == '__main__':\n    a = 'run'\nif a:\n    b = 1\n"))
    assert (names["a"], names["b"]) == ("__main__", 1)
    assert sys.modules["__main__"].__dict__ is names


def test_apps_are_found_by_name() -> None:
    app = python_app(lambda: 1)
    assert mcp.apps_of({"one": app, "_two": app, "three": 3}) == {"one": app}


def test_a_tool_has_the_parameters_of_its_app() -> None:
    @python_app
    def app(a: Annotated[int, "how many"], b: str = "x", *, stdout: str = "", **more: Any) -> float:
        return a

    tool = mcp.as_tool(app)
    signature = inspect.signature(tool)
    assert list(signature.parameters)[1:] == ["a", "b"]
    assert signature.parameters["b"].default == "x"
    assert (signature.return_annotation, tool.__name__) == (float, "app")


def test_a_call_that_cannot_be_made_tells_why() -> None:
    @python_app
    def app(self: int) -> int:  # the app's own name for itself
        return self

    with pytest.raises(ToolError, match=r"TypeError: .*'self'"):
        asyncio.run(mcp.as_tool(app)(None, self=1))


@pytest.mark.parametrize(("text", "problem"), [
    ("config = 1\n", "defines no app"),
    ("from parsl import python_app\n@python_app\ndef f(): ...\n", "defines no `config`"),
])  # fmt: skip
def test_a_script_that_cannot_be_served_is_told_why(
    text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", str(write(tmp_path, text))]) == 1
    assert problem in capsys.readouterr().err


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match="no such file"):
        mcp.run(tmp_path / "none.py")
