"""A docstring's `Args:` are the parameters of what it stands on, and no others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "rhapsody_parsl").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def section(text: str, title: str) -> list[str]:
    """Return the names that a section of a docstring in Google's form describes; [] where there is none."""
    found = re.search(rf"^ *{title}:\n((?: +.*\n|\n)*)", f"{text}\n", re.MULTILINE)
    if not found:
        return []
    lines = [line for line in found[1].splitlines() if line.strip()]
    indent = len(lines[0]) - len(lines[0].lstrip())
    own = [line for line in lines if len(line) - len(line.lstrip()) == indent]
    return [name.strip(" *") for line in own if ": " in line for name in line.partition(":")[0].split(",")]


def parameters(function: Function) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [star for star in (arguments.vararg, arguments.kwarg) if star]
    return [argument.arg for argument in [*every, *starred] if argument.arg not in ("self", "cls")]


def documented(tree: ast.Module) -> Iterator[tuple[str, str, Function]]:
    """Yield a name, a docstring, and the function whose parameters it should describe."""
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, ast.ClassDef | Function) else None
        if not text:
            continue
        if isinstance(node, ast.ClassDef):
            inits = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            yield from ((node.name, text, init) for init in inits)
        elif isinstance(node, Function):
            yield node.name, text, node


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_args_are_the_parameters(module: Path) -> None:
    wrong = []
    for name, text, function in documented(ast.parse(module.read_text())):
        described = section(text, "Args")
        taken = [parameter for parameter in parameters(function) if not parameter.startswith("_")]
        if described and sorted(described) != sorted(taken):
            wrong.append(f"{name}: describes {described}, takes {taken}")
    assert not wrong


def test_a_section_is_read() -> None:
    text = "Do.\n\nArgs:\n    a: It: is.\n        More.\n    b, c: Both.\n    *rest: Too.\n\nRaises:\n    No: Never."
    assert section(text, "Args") == ["a", "b", "c", "rest"]
    assert section(text, "Returns") == []
