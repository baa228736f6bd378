"""A docstring describes what it stands on: all of its parameters, fields that are there, and all that it raises."""

import ast
import builtins
import itertools
import re
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "rhapsody_parsl").rglob("*.py"))
TREES = {module: ast.parse(module.read_text()) for module in MODULES}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


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


def described(tree: ast.Module, wanted: Container[int] | None = None) -> Iterator[tuple[str, str, Function]]:
    """Yield a name, a docstring, and the function that it should describe; of those wanted, by `id`, or of all."""
    for node in ast.walk(tree):
        if wanted is not None and id(node) not in wanted:
            continue
        text = ast.get_docstring(node) if isinstance(node, ast.ClassDef | Function) else None
        if not text:
            continue
        if isinstance(node, ast.ClassDef):
            inits = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            yield from ((node.name, text, init) for init in inits)
        elif isinstance(node, Function):
            yield node.name, text, node


def public(node: Documented) -> Iterator[Documented]:
    """Yield what others may use of a module or class, itself first: no private names, nothing inside a function."""
    yield node
    if not isinstance(node, Function):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | Function) and not inner.name.startswith("_"):
                yield from public(inner)


def fields(kind: ast.ClassDef) -> set[str]:
    """Return the names that a class declares, defines, or gives its objects."""
    names = {node.name for node in kind.body if isinstance(node, Function)}
    for node in ast.walk(kind):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the names of the exceptions that a statement makes and lets out, itself and not by what it calls."""
    if isinstance(node, ast.ClassDef | Function | ast.Lambda):
        return
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
        yield from {node.exc.func.id} - caught
    guarded = node.body if isinstance(node, ast.Try) else []
    handled = (
        {name.id for handler in node.handlers for name in _names(handler.type)} if isinstance(node, ast.Try) else ()
    )
    for child in ast.iter_child_nodes(node):
        yield from raised(child, caught.union(handled) if child in guarded else caught)


def _names(node: ast.expr | None) -> Iterator[ast.Name]:
    return (name for name in ast.walk(node) if isinstance(name, ast.Name)) if node else iter(())


def exceptions() -> dict[str, set[str]]:
    """Return the package's exceptions by name, each with its bases' names, and Python's."""
    kinds = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {kind.name: {base.id for base in kind.bases if isinstance(base, ast.Name)} for kind in kinds}
    python = {name for name, kind in vars(builtins).items() if isinstance(kind, type)}
    return own | {name: {base.__name__ for base in getattr(builtins, name).__mro__} for name in python}


EXCEPTIONS = exceptions()


def covers(name: str, told: list[str]) -> bool:
    """Whether a list of exceptions has this one, or a base of it."""
    return name in told or any(covers(base, told) for base in EXCEPTIONS.get(name, set()) - {name, "object"})


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_args_are_the_parameters(module: Path) -> None:
    wrong = []
    for name, text, function in described(TREES[module]):
        told = section(text, "Args")
        taken = [parameter for parameter in parameters(function) if not parameter.startswith("_")]
        if told and sorted(told) != sorted(taken):
            wrong.append(f"{name}: describes {told}, takes {taken}")
    assert not wrong


def test_everything_public_has_a_docstring() -> None:
    bare = [
        f"{module.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
        for module, tree in TREES.items()
        for node in public(tree)
        if not ast.get_docstring(node) and not getattr(node, "name", "").startswith("__")
    ]
    assert not bare


def test_attributes_are_fields() -> None:
    kinds = {node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}

    def has(kind: ast.ClassDef) -> set[str]:
        bases = [kinds[base.id] for base in kind.bases if isinstance(base, ast.Name) and base.id in kinds]
        return fields(kind).union(*map(has, bases))

    wrong = [
        f"{module.relative_to(ROOT)}: {kind.name} has no {name}"
        for module, tree in TREES.items()
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for name in section(ast.get_docstring(kind) or "", "Attributes")
        if name not in has(kind)
    ]
    assert not wrong


def test_what_a_public_function_raises_is_told() -> None:
    missing = []
    for module, tree in TREES.items():
        every = {id(node) for node in public(tree)}
        for name, text, function in described(tree, every):
            told = section(text, "Raises")
            lets_out = {each for statement in function.body for each in raised(statement) if each in EXCEPTIONS}
            lacks = sorted(each for each in lets_out if not covers(each, told))
            missing += [f"{module.relative_to(ROOT)}: {name} raises {each}" for each in lacks]
    assert not missing


def test_what_is_told_to_be_raised_is_there() -> None:
    unknown = []
    for module, tree in TREES.items():
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        imported = {alias.name for node in imports for alias in node.names}
        told = [
            section(ast.get_docstring(node) or "", "Raises") for node in ast.walk(tree) if isinstance(node, Documented)
        ]
        names = {name.partition(".")[0] for name in itertools.chain.from_iterable(told)}
        unknown += [f"{module.relative_to(ROOT)}: {name}" for name in names - imported - set(EXCEPTIONS)]
    assert not unknown


def test_a_section_is_read() -> None:
    text = "Do.\n\nArgs:\n    a: It: is.\n        More.\n    b, c: Both.\n    *rest: Too.\n\nRaises:\n    No: Never."
    assert section(text, "Args") == ["a", "b", "c", "rest"]
    assert section(text, "Returns") == []


def test_what_is_let_out_is_found() -> None:
    text = """
try:
    raise ValueError("caught")
except ValueError:
    raise KeyError("let out")
def inner():
    raise OSError("another function's")
"""
    assert list(raised(ast.parse(text))) == ["KeyError"]
