"""What is left at the end: the table, the result beside the literature, a JSON file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from melting import literature
from melting.analysis import Row
from melting.fit import Melting
from melting.pictures import Record

TOUCHES_NEXT = 2.0
"""Differences up to this many error bars are called agreement."""


def table(rows: Sequence[Row]) -> Table:
    """Return all runs as a table."""
    result = Table(title="All runs", title_justify="left", title_style="bold")
    for column in ("T", "run", "front speed", "crystal", "D liquid", "D crystal", "Lindemann"):
        result.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: (row.temperature, row.replica)):
        result.add_row(
            f"{row.temperature:.3f}", str(row.replica), f"{row.growth:+.3f}",
            f"{row.crystal_first:.0%} → {row.crystal_last:.0%}", f"{row.liquid_diffusion:.4f}",
            f"{row.crystal_diffusion:.4f}", f"{row.lindemann:.3f}",
        )  # fmt: skip
    return result


def verdict(result: Melting, published: literature.Published) -> str:
    """Say in words how far the result is from a published value."""
    away = (result.temperature - published.temperature) / result.error
    if abs(away) <= TOUCHES_NEXT:
        return f"agrees: {abs(away):.1f} error bars away"
    return f"differs: {abs(away):.1f} error bars {'above' if away > 0 else 'below'}"


def ending(result: Melting, energy: Melting | None, words: str) -> RenderableType:
    """Return the result, the literature, and the model's two sentences.

    Args:
        result: The fit of the front speeds.
        energy: The fit of the potential energy's drift, where there is one.
        words: What the language model wrote; nothing if none was asked.
    """
    same, full = literature.SAME_POTENTIAL, literature.FULL_POTENTIAL
    lines = Text()
    lines.append(f"Melting temperature  {result.temperature:.3f} ± {result.error:.3f}", "bold")
    lines.append(f"   (95 %: {result.low:.3f} to {result.high:.3f}; {result.points} half runs, "
                 f"{result.draws} bootstrap draws on {result.ranks} ranks)\n")  # fmt: skip
    if energy:
        lines.append(f"by the energy alone  {energy.temperature:.3f} ± {energy.error:.3f}\n")
    lines.append(f"Literature           {same.temperature:.3f}   {same.holds_for}\n")
    lines.append(f"                             {same.source}\n")
    lines.append(f"                             {verdict(result, same)}\n")
    lines.append(f"For comparison       {full.temperature:.3f}   {full.holds_for}\n")
    lines.append(f"                             {full.source}\n")
    if words:
        lines.append("In the words of SmolLM2-135M (which decides nothing, and may err):\n", "dim")
        lines.append(words.strip(), "italic")
    return Group(lines)


def records(timeline: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Return the executor's timeline as the picture wants it: one record a task and core."""
    return [
        (entry["runtime"], entry["name"], str(entry["node"]), core, entry["start"], entry["end"])
        for entry in timeline
        for core in (entry["cores"] or [None])
        if entry["start"] is not None and entry["end"] is not None
    ]


def save(path: Path, rows: Sequence[Row], result: Melting, words: str) -> None:
    """Write the numbers for another program."""
    content = {
        "melting": asdict(result),
        "literature": asdict(literature.SAME_POTENTIAL),
        "summary": words,
        "runs": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=1))
