"""Outside the table, the configurations and a runtime's own folder, nothing is decided by a runtime's name or class."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.runtime_table import names, own

PACKAGE = Path(__file__).parents[2] / "rhapsody_parsl"
AT_HOME = (
    "runtimes/",
    "config.py",
    "service_config.py",
    "runtime_table.py",
    "service_table.py",
    "annotations/decorator.py",
    "doctor/software.py",
)
"""Where runtimes are, and are named: the last two say which runtime a part is for, and what each needs."""
ANOTHER_LOCAL = {"cli/globus.py", "cluster/batch.py", "globus_compute/endpoint_folder.py"}
"""Where "local" is a template, or what Flux calls its own instance."""
NAMES = set(names())
CLASSES = {kind.__name__ for kind in own()}


def decisions(tree: ast.AST, words: set[str]) -> Iterator[str]:
    """Yield the words that a module has as a text of its own, and classes in other use than to make an object."""
    made = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in words:
            yield f"{node.lineno}: {node.value!r}"
        if isinstance(node, ast.Name) and node.id in CLASSES and id(node) not in made:
            yield f"{node.lineno}: {node.id}"


def modules() -> list[str]:
    found = (str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")))
    return [name for name in found if not name.startswith(AT_HOME) and name != "__init__.py"]


def test_nothing_is_decided_by_a_runtimes_name() -> None:
    found = []
    for name in modules():
        words = NAMES - {"local"} if name in ANOTHER_LOCAL else NAMES
        found += [f"{name}:{what}" for what in decisions(ast.parse((PACKAGE / name).read_text()), words)]
    assert not found, "ask what the runtime takes (`takes`), not what it is called"


@pytest.mark.parametrize("line", [
    "if name == 'mpi': ...", "kind = {'vllm': 1}", "x = isinstance(y, ModelRequests)",
    "match x:\n case LocalRuntime(): ...",
    "kinds: dict = {1: DragonRuntime}",
])  # fmt: skip
def test_a_decision_is_seen(line: str) -> None:
    assert [*decisions(ast.parse(line), NAMES)]


def test_an_object_may_be_made() -> None:
    assert not [*decisions(ast.parse("from x import DragonRuntime\ndefault = (DragonRuntime(),)"), NAMES)]
