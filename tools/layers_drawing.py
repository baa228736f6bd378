"""Draws `docs/pictures/layers.svg` from the import contracts and the imports: `python tools/layers_drawing.py`.

A row is a layer of the first contract of `pyproject.toml`, a column is a process. A cell is filled where the process
imports the layer. So the drawing cannot say anything else than the code; a test compares the two.
"""

import ast
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "pictures" / "layers.svg"
PACKAGE = "rhapsody_parsl"
LEFT, TOP, ROW, COLUMN, CELL = 446, 186, 28, 64, 46
SAID = 158
"""Where what is said about a layer begins, right of its name."""
MOST_LETTERS = 46
"""Of what is said about a layer."""
INK, PALE, LINE = "#24292f", "#57606a", "#d0d7de"


class Process(NamedTuple):
    """A kind of process.

    Attributes:
        name: As the glossary calls it, in lines.
        modules: What it runs.
        colour: Of its cells.
    """

    name: tuple[str, ...]
    modules: tuple[str, ...]
    colour: str


PROCESSES = (
    Process(("endpoint",), ("globus_compute.engine",), "#b7791f"),
    Process(("driver",), ("executors.executor", "providers.allocation", "providers.shared_block"), "#b7791f"),
    Process(("pilot",), ("pilot.__main__",), "#3949ab"),
    Process(("worker",), ("worker.__main__", "runtimes.dragon.worker"), "#2e7d32"),
    Process(("rank",), ("runtimes.mpi.world.rank",), "#1565c0"),
    Process(("engine",), ("runtimes.vllm.backend", "runtimes.vllm.command"), "#6a1b9a"),
    Process(("service",), ("services.command.process",), "#00838f"),
    Process(("node", "agent"), ("agents.agent",), "#455a64"),
    Process(("guard",), ("hosts.guard",), "#455a64"),
)
SPEAK = (("driver", "pilot", "link: tasks, results"), ("pilot", "engine", "hub: tasks, results"),
         ("pilot", "node agent", "words: starts, exits, what processes say"))  # fmt: skip
"""Which two processes speak, and how; the hub's lines reach workers and ranks, too."""
PLACES = ((0, 2, "the driver's host", "#fff8e6"), (2, 9, "a block", "#f3f6fb"))
"""Where the processes are: from which column to which."""


def layers() -> list[list[str]]:
    """Return the layers of the first import contract from the top; those of one row do not import each other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (rows,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    there = [[name.strip(" ()") for name in row.split("|")] for row in rows]
    return [kept for row in there if (kept := [name for name in row if _source(name)])]


def _source(layer: str) -> Path | None:
    """Return the file that says what a layer is; None where an optional one is not there."""
    here = ROOT / PACKAGE
    return next((f for f in (here / layer / "__init__.py", here / f"{layer}.py") if f.exists()), None)


def about(layer: str) -> str:
    """Return the first words of a layer's docstring."""
    file = _source(layer)
    text = ast.get_docstring(ast.parse(file.read_text())) if file else ""
    words = (text or "").partition("\n")[0]
    for mark in (":", ",", "."):
        words = words.partition(mark)[0]
    return textwrap.shorten(words.replace("`", ""), MOST_LETTERS, placeholder=" ...")


def imported() -> list[set[str]]:
    """Return the layers that each process imports."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found = []
    for process in PROCESSES:
        own = {f"{PACKAGE}.{module}" for module in process.modules}
        modules = own.union(*(graph.find_upstream_modules(module) for module in own))
        found.append({module.split(".")[1] for module in modules if "." in module})
    return found


def _text(x: float, y: float, words: str, *, size: int = 13, colour: str = INK, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{more}>{escape(words)}</text>'


def _middle(column: int) -> float:
    return LEFT + column * COLUMN + COLUMN / 2


def _places(bottom: float) -> Iterator[str]:
    """Yield a band for each place."""
    for start, end, words, colour in PLACES:
        x, width = LEFT + start * COLUMN + 2, (end - start) * COLUMN - 4
        yield f'<rect x="{x}" y="10" width="{width}" height="{bottom - 10}" rx="8" fill="{colour}"/>'
        yield _text(x + width / 2, 32, words, size=13, colour=PALE, more=' text-anchor="middle"')


def _head() -> Iterator[str]:
    """Yield the processes, and the lines between those that speak."""
    columns = {" ".join(process.name): column for column, process in enumerate(PROCESSES)}
    for height, (one, other, words) in enumerate(SPEAK):
        y, ends = TOP - 66 - 30 * height, [_middle(columns[name]) for name in (one, other)]
        for x in ends:
            yield f'<line x1="{x:g}" x2="{x:g}" y1="{y}" y2="{TOP - 48}" stroke="{PALE}"/>'
        yield f'<line x1="{ends[0]:g}" x2="{ends[1]:g}" y1="{y}" y2="{y}" stroke="{PALE}" stroke-width="1.5"/>'
        yield _text(ends[0] - 8, y + 4, words, size=12, colour=PALE, more=' text-anchor="end"')
    for column, process in enumerate(PROCESSES):
        for line, word in enumerate(process.name):
            y = TOP - 14 - 16 * (len(process.name) - 1 - line)
            more = ' font-weight="600" text-anchor="middle"'
            yield _text(_middle(column), y, word, size=12, colour=process.colour, more=more)


def _rows() -> Iterator[str]:
    """Yield a line for each layer: its name, what it is, and a cell for each process that imports it."""
    known, y, right = imported(), TOP, LEFT + COLUMN * len(PROCESSES)
    for together in layers():
        for layer in together:
            yield _text(16, y + 19, layer, size=13, colour=INK, more=' font-weight="600" class="layer"')
            yield _text(SAID, y + 19, about(layer), size=12, colour=PALE)
            yield from (_cell(column, y, layer) for column in range(len(PROCESSES)) if layer in known[column])
            y += ROW
        yield f'<line x1="16" x2="{right}" y1="{y}" y2="{y}" stroke="{LINE}"/>'


def _cell(column: int, y: int, layer: str) -> str:
    process = PROCESSES[column]
    place = f'x="{_middle(column) - CELL / 2:g}" y="{y + 4}" width="{CELL}" height="{ROW - 8}"'
    title = f"{' '.join(process.name)} imports {layer}"
    return f'<rect {place} rx="4" fill="{process.colour}"><title>{title}</title></rect>'


def drawing() -> str:
    """Return the drawing."""
    width = LEFT + COLUMN * len(PROCESSES) + 16
    height = TOP + ROW * sum(map(len, layers())) + 44
    label = "The layers of the package from the top, and which process imports which"
    under = "A layer knows only those below it. Where a process has no cell, it never imports the layer."
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}"',
        ' font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        *_places(height - 40),
        *_head(),
        f'<line x1="16" x2="{width - 16}" y1="{TOP}" y2="{TOP}" stroke="{PALE}"/>',
        *_rows(),
        _text(16, height - 18, under, size=12, colour=PALE),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


if __name__ == "__main__":
    FILE.write_text(drawing())
    print(f"written: {FILE}")
