"""Blocks of ten to a thousand nodes on one machine: the real driver, pilot and agents, over workers that are objects.

`python -m benchmarks scale [--nodes 10 30 100 300 1000] [--cores 64]` starts a block of each size in a process of its
own. One process is all the hosts of a block. It has the product's agents, each with its encrypted connection to the
pilot, and answers tasks without running them. Says how long a block takes to be ready and to have a task at work on
each core, the round trip of a lone task, tasks per second with the CPU of each process, the same for gangs among single
cores and quarters of GPUs, and what is lost when one host of a hundred is killed and five are cut off for ten seconds.
What a block of 9,400 nodes would take is computed from the two largest.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.library import machine, pictures, sides
from benchmarks.library.emulation import phases
from benchmarks.library.emulation.block import emulated

NODES, CORES = (1, 10, 30, 100, 300, 1000), 64
TASKS, QUICK = 20_000, 100
EXASCALE = 9_400
_MODULE = "benchmarks.studies.scale"

COLUMNS = {
    "nodes": ("nodes", "{:,.0f}"),
    "ready_s": ("ready, s", "{:.1f}"),
    "idle_mb": ("pilot, MB", "{:,.0f}"),
    "full_mb": ("with a task on each core", "{:,.0f}"),
    "files": ("its open files", "{:,.0f}"),
    "idle_percent": ("its CPU when idle, %", "{:.1f}"),
    "fill_s": ("all cores at work, s", "{:.1f}"),
    "lone_ms": ("lone task, ms", "{:.2f}"),
    "per_s": ("no-op tasks/s", "{:,.0f}"),
    "mixed_per_s": ("mixed tasks/s", "{:,.0f}"),
    "lost": ("lost of killed", "{:,.0f}"),
}
CPU = {
    "nodes": ("nodes", "{:,.0f}"),
    **{
        f"{kind}{who}_us": (f"{load}{who}", "{:,.0f}")
        for kind, load in (("", ""), ("mixed_", "mixed: "))
        for who in ("driver", "pilot", "hosts")
    },
}


def measure(_kind: str, _folder: str, nodes: int, cores: int, tasks: int, turns: int) -> sides.Turns:
    """Measure a block of a size."""
    with emulated(nodes, cores) as block:
        numbers: sides.Numbers = {
            "nodes": nodes, "ready_s": block.ready, "idle_mb": block.resident / 1e6, "files": block.descriptors,
        }  # fmt: skip
        numbers |= phases.idle(block) | phases.lone(block)
        numbers |= phases.fill(block, cores)
        taken = [phases.rate(block, tasks) | phases.mixed(block, tasks, cores) for _ in range(turns)]
        numbers |= {key: statistics.median(turn[key] for turn in taken) for key in taken[0]}
        numbers |= phases.through_faults(block, cores, killed=_some(nodes, 100), cut=_some(nodes, 20))
        yield numbers


def _some(nodes: int, of: int) -> int:
    """Return one in so many nodes, one at least; none of a single one, which is all that there is."""
    return max(1, nodes // of) if nodes > 1 else 0


def on_paper(rows: Sequence[sides.Numbers], nodes: int) -> sides.Numbers:
    """Return what a larger block takes, on the line through the two largest; of what grows with the nodes."""
    small, large = rows[-2:]
    part = (nodes - large["nodes"]) / (large["nodes"] - small["nodes"])
    grows = ("ready_s", "idle_mb", "full_mb", "files", "idle_percent", "fill_s")
    return {"nodes": nodes, **{key: large[key] + part * (large[key] - small[key]) for key in grows}}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--cores", type=int, default=CORES, help="of each node")
    parser.add_argument("--tasks", type=int, default=TASKS, help="of a repetition")
    arguments = sides.arguments(parser, measure)
    sizes = [nodes for nodes in arguments.nodes if not arguments.quick or nodes <= QUICK]
    plan = (arguments.cores, arguments.tasks, arguments.repeat)
    rows = [sides.apart(_MODULE, "block", nodes, *plan) for nodes in sizes]
    report(rows, arguments.cores, arguments.out)


def report(rows: Sequence[sides.Numbers], cores: int, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    computed = [on_paper(rows, EXASCALE)] if len(rows) > 1 else []
    title = f"Blocks of emulated nodes, {cores} cores each" + (", the last one computed" if computed else "")
    _show(title, COLUMNS, [*rows, *computed])
    _show("Microseconds of CPU per task", CPU, rows)
    file = machine.write(out, "scale", {"rows": rows, "computed": computed})
    print(f"written: {file}, {picture(rows, out)}")


def _show(title: str, columns: dict[str, tuple[str, str]], rows: Sequence[sides.Numbers]) -> None:
    cells = [[form.format(row[key]) if key in row else "" for key, (_, form) in columns.items()] for row in rows]
    machine.show(title, [name for name, _ in columns.values()], cells)


def picture(rows: Sequence[sides.Numbers], out: Path) -> Path:
    """Draw what grows with the nodes."""
    figure, grid = pictures.canvas(2, size=(8, 3.2))
    nodes = [row["nodes"] for row in rows]
    for key, style, label in (("idle_mb", "o-", "idle"), ("full_mb", "s--", "a task on each core")):
        grid[0, 0].loglog(nodes, [row[key] for row in rows], style, color=pictures.OURS, label=label)
    grid[0, 0].legend(fontsize=8, frameon=False)
    pictures.clean(grid[0, 0], "The pilot's memory, MB", "nodes")
    for key, style, label in (("per_s", "o-", "no-op"), ("mixed_per_s", "s--", "mixed")):
        grid[0, 1].loglog(nodes, [row[key] for row in rows], style, color=pictures.OURS, label=label)
    grid[0, 1].legend(fontsize=8, frameon=False)
    pictures.clean(grid[0, 1], "Tasks per second", "nodes")
    return pictures.save(figure, out, "scale")


if __name__ == "__main__":
    main()
