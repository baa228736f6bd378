"""The house's numbers: functions of at most 40 lines, modules of 400, and a reason beside each silenced check."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("rhapsody_parsl", "testing", "tests", "benchmarks", "examples", "configs")
MODULES = sorted(module for folder in FOLDERS for module in (ROOT / folder).rglob("*.py"))
TEXTS = {module: module.read_text() for module in MODULES}
LONGEST_FUNCTION, LONGEST_MODULE = 40, 400
SILENCED = re.compile(r"# (?:noqa|type: ignore)\b(?:: [A-Z0-9, ]*[A-Z0-9]|\[[a-z, -]+\])?")


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Return how many lines of code a function has below its signature: no docstrings, no comments, nothing blank."""
    without: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            without.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    last = function.end_lineno or 0
    body = (number for number in range(function.body[0].lineno, last + 1) if number not in without)
    return sum(bool(line := lines[number - 1].strip()) and not line.startswith("#") for number in body)


def longer(text: str) -> Iterator[str]:
    """Yield the names of the functions that are too long."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node, lines) > LONGEST_FUNCTION:
            yield node.name


def unreasoned(text: str) -> Iterator[int]:
    """Yield the lines where a check is silenced and nothing says why."""
    for number, line in enumerate(text.splitlines(), 1):
        silenced = list(SILENCED.finditer(line))
        if silenced and not re.match(r" *(?:#|-) *[\w`]", line[silenced[-1].end() :]):
            yield number


def test_functions_are_short() -> None:
    assert not [f"{module.relative_to(ROOT)}: {name}" for module, text in TEXTS.items() for name in longer(text)]


def test_modules_are_short() -> None:
    lengths = {module.relative_to(ROOT): len(text.splitlines()) for module, text in TEXTS.items()}
    assert not {str(module): length for module, length in lengths.items() if length > LONGEST_MODULE}


def test_what_is_silenced_has_its_reason_beside_it() -> None:
    assert not [f"{module.relative_to(ROOT)}:{number}" for module, text in TEXTS.items() for number in unreasoned(text)]


def test_the_numbers_can_be_exceeded() -> None:
    line, comment = "    a = 1\n", "    # why\n\n"
    assert not list(longer(f'def f():\n    """Do."""\n{comment}{line * LONGEST_FUNCTION}'))
    assert list(longer(f"def f():\n{line * LONGEST_FUNCTION}{comment}{line}")) == ["f"]


def test_a_reason_is_seen() -> None:
    silenced = "x = 1  # " + "noqa: A001"
    assert list(
        unreasoned(f"{silenced}\n{silenced} - its name there\n{silenced}, B002\nx  # type" + ": ignore[misc]")
    ) == [
        1,
        3,
        4,
    ]
