"""`docs/where_to_change_what.md` leads to files and names that are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "where_to_change_what.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \|([^|]*)\|", re.MULTILINE)
IN_PROSE = re.compile(r"`([\w/]+\.py)`\s\(((?:`[^`]+`(?:,\s)?)+)\)")
PATH = re.compile(r"`([\w.]+(?:/[\w.]*)+)`")
CHANGES = ["runtime", "service", "order", "metric", "annotation"]


def place(path: str) -> Path:
    """Return where a file of the page is: in the package, unless it starts otherwise."""
    return next((ROOT / part / path for part in ("rhapsody_parsl", "") if (ROOT / part / path).exists()), ROOT / path)


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


POINTERS = [
    (file, name) for pattern in (ROW, IN_PROSE) for file, cell in pattern.findall(PAGE) for name in names_in(cell)
]


def defined(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    """Yield what a module defines, and the members of its classes as `Class.member`."""
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield within + name
                yield from defined(node.body, f"{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield within + name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield within + name
            case _:
                pass


@pytest.mark.parametrize("path", sorted(set(PATH.findall(PAGE))))
def test_each_file_is_there_or_its_folder_for_a_new_one(path: str) -> None:
    assert place(path.partition("/NAME")[0]).exists()


@pytest.mark.parametrize(("file", "name"), POINTERS)
def test_each_name_is_in_its_file(file: str, name: str) -> None:
    text = place(file).read_text()
    found = set(defined(ast.parse(text).body)) if file.endswith(".py") else {name} & {name if name in text else ""}
    assert name in found


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_leads_to_files_and_to_a_test(change: str) -> None:
    (section,) = (part for part in PAGE.split("\n## ")[1:] if change in part.partition("\n")[0])
    assert len(ROW.findall(section)) > 3
    assert "**test**" in section
