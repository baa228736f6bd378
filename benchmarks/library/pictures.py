"""How the benchmarks' pictures look."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

INK, BASELINE, OURS = "#2b2b2b", "#b8b8b8", "#1f77b4"
COLOURS = {"dragon": "#3a7d44", "mpi": "#2a6f97", "vllm": "#c8553d"}
"""Of the runtimes."""


def canvas(columns: int, rows: int = 1, size: tuple[float, float] = (10, 3.8), **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes, always in two dimensions."""
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def clean(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Give axes their words and take away their frame; a logarithmic axis says 10, not 10 to the power of 1."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def stack(axes: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Draw a stacked bar for each name."""
    left = [0.0] * len(names)
    for (label, values), colour in zip(parts.items(), colours, strict=True):
        axes.barh(names, values, left=left, color=colour, label=label, height=0.62)
        left = [at + value for at, value in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.08))


def bars(axes: Axes, values: Mapping[str, float], form: str, log: bool = False) -> None:
    """Draw a labelled bar for each name; what names Parsl's own executors is grey."""
    grey = ("htex", "threads", "mpiexecutor", "bare")
    drawn = axes.barh(list(values), list(values.values()), color=[BASELINE if k in grey else OURS for k in values])
    axes.bar_label(drawn, fmt=form, padding=3, fontsize=8)
    if log:
        axes.set_xscale("log")
    axes.invert_yaxis()
    axes.margins(x=0.25)


def panels(
    out: Path, name: str, height: float, some: Mapping[str, tuple[Mapping[str, float], str]], *, log: bool = False
) -> Path:
    """Draw labelled bars side by side, by title: the values, and the form of their labels; return the file."""
    figure, grid = canvas(len(some), size=(10, height))
    for axes, (title, (values, form)) in zip(grid[0], some.items(), strict=True):
        bars(axes, values, form, log)
        clean(axes, title)
    return save(figure, out, name)


def save(figure: Figure, out: Path, name: str) -> Path:
    """Write the picture; return the file."""
    file = out / f"{name}.png"
    figure.savefig(file)
    return file
