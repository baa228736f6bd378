"""Two pictures: what was measured and learned, and what ran when."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from boyle import exact
from boyle.agent import Outcome
from boyle.surrogate import COLDEST, DENSEST, HOTTEST, Estimate, Surrogate

mpl.use("Agg")

INK, LEARNED, EXACT = "#2b2b2b", "#2a6f97", "#c8553d"

ROWS = {
    "ask": ("the model (vLLM)", "#e0a100"), "screen": ("screening (Dragon)", "#3a7d44"),
    "train": ("training (MPI ranks)", EXACT), "simulate": ("LAMMPS (MPI launches)", LEARNED),
}  # fmt: skip
"""Of each task of `tasks`: what it is, and its colour."""

Span = tuple[str, float, float]
"""Name of a task, its start and its end in seconds."""


def _clean(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _plane(axes: Axes, figure: Figure, outcome: Outcome, surrogate: Surrogate) -> None:
    temperature, density = np.meshgrid(np.linspace(COLDEST, HOTTEST, 60), np.linspace(0, DENSEST, 60))
    values = surrogate.values(temperature.ravel(), density.ravel())
    spread = axes.contourf(temperature, density, values.std(axis=0).reshape(temperature.shape), 12, cmap="Greys")
    _bar(figure, axes, spread, "standard deviation of the members")
    axes.contour(
        temperature, density, values.mean(axis=0).reshape(temperature.shape), [0.0], colors=LEARNED, linewidths=1.6
    )
    axes.plot([], [], color=LEARNED, label="as an ideal gas: Z = 1")
    states = [one.state for one in outcome.measured]
    dots = axes.scatter(
        [one.temperature for one in states], [one.density for one in states], c=outcome.rounds, cmap="plasma",
        s=34, edgecolor="white", zorder=3, clip_on=False,
    )  # fmt: skip
    _bar(figure, axes, dots, "round").set_ticks(range(max(outcome.rounds) + 1))
    axes.scatter([exact.boyle_temperature()], [0], marker="*", s=130, color=EXACT, zorder=4, clip_on=False,
                 label="exact Boyle temperature")  # fmt: skip
    axes.legend(fontsize=8, loc="upper right")
    _clean(axes, "What was measured", "temperature", "density")


def _bar(figure: Figure, axes: Axes, of: ScalarMappable, label: str) -> Colorbar:
    bar = figure.colorbar(of, ax=axes, aspect=30)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return bar


def _virial(axes: Axes, surrogate: Surrogate) -> None:
    temperature = np.linspace(COLDEST, HOTTEST, 80)
    curves = surrogate.values(temperature, 0.0)
    mean, spread = curves.mean(axis=0), curves.std(axis=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.fill_between(
        temperature,
        mean - 2 * spread,
        mean + 2 * spread,
        color=LEARNED,
        alpha=0.25,
        linewidth=0,
        label="learned (95 %)",
    )
    axes.plot(temperature, mean, color=LEARNED, linewidth=1.4)
    known = [exact.second_virial(value) for value in temperature]
    axes.plot(temperature, known, color=EXACT, linestyle="--", linewidth=1.4, label="exact integral")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    _clean(axes, "Second virial coefficient", "temperature", "B(T): the value at density 0")


def _rounds(axes: Axes, estimates: list[Estimate]) -> None:
    axes.axhline(exact.boyle_temperature(), color=EXACT, linestyle="--", linewidth=1.4, label="exact integral")
    axes.errorbar(
        range(len(estimates)), [one.temperature for one in estimates], [one.error for one in estimates],
        color=LEARNED, marker="o", markersize=4, linewidth=0, elinewidth=1.4, capsize=3, label="learned",
    )  # fmt: skip
    axes.set_xticks(range(len(estimates)))
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    _clean(axes, "The answer", "rounds chosen", "Boyle temperature")


def campaign(path: Path, outcome: Outcome) -> None:
    """Draw where was measured, what was learned, and how the answer came closer.

    Raises:
        ValueError: Nothing was learned.
    """
    if (surrogate := outcome.surrogate) is None:
        raise ValueError("a campaign without a trained surrogate has no picture")
    figure = Figure(figsize=(10, 5.2), dpi=130, layout="constrained")
    grid = figure.add_gridspec(2, 5)
    _plane(figure.add_subplot(grid[:, :3]), figure, outcome, surrogate)
    _virial(figure.add_subplot(grid[0, 3:]), surrogate)
    _rounds(figure.add_subplot(grid[1, 3:]), outcome.estimates)
    figure.savefig(path)


def timeline(path: Path, spans: Iterable[Span]) -> None:
    """Draw what ran when, a row per kind of task."""
    known = [span for span in spans if span[0] in ROWS]
    began = min((start for _, start, _ in known), default=0.0)
    figure = Figure(figsize=(10, 2.4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for row, (name, (_, colour)) in enumerate(ROWS.items()):
        bars = [(start - began, end - start) for of, start, end in known if of == name]
        axes.broken_barh(bars, (row - 0.38, 0.76), facecolor=colour, edgecolor=colour, linewidth=0.6)
    axes.set_yticks(range(len(ROWS)), [what for what, _ in ROWS.values()])
    axes.autoscale_view()
    _clean(axes, "What the agent had done in its block", "seconds since the first task", "")
    figure.savefig(path)
