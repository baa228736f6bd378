"""The two pictures: the melting curve, and which runtime used which core when."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from melting.analysis import Row
from melting.fit import Melting
from melting.literature import Published

mpl.use("Agg")

INK, CRYSTAL, LIQUID, ACCENT = "#2b2b2b", "#2a6f97", "#c8553d", "#e0a100"
COLOURS = {"dragon": "#3a7d44", "mpi": CRYSTAL, "vllm": LIQUID, "local": "#7a7a7a"}
NO_CORE = "uncounted"

Record = tuple[str, str, str, int | None, float, float]
"""Runtime, task name, node, core (none where no core was leased), start and end in seconds."""


def _clean(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _growth(axes: Axes, rows: Sequence[Row], result: Melting, published: Published) -> None:
    t = np.array([row.temperature for row in rows])
    g = np.array([row.growth for row in rows])
    line = np.linspace(t.min() - 0.005, t.max() + 0.005, 60)
    axes.axhline(0, color=INK, linewidth=0.8)
    found = f"$T_m$ = {result.temperature:.3f} ± {result.error:.3f} (band: 95 %)"
    known = f"literature, same potential: {published.temperature}"
    axes.axvspan(result.low, result.high, color=ACCENT, alpha=0.3, linewidth=0, label=found)
    axes.axvline(published.temperature, color=INK, linestyle=":", linewidth=1.4, label=known)
    axes.plot(line, [result.speed(value) for value in line], color=ACCENT, linewidth=1.6)
    grows = g > 0
    axes.scatter(t[grows], g[grows], s=26, color=CRYSTAL, zorder=3, label="crystal grows")
    axes.scatter(t[~grows], g[~grows], s=26, color=LIQUID, zorder=3, label="crystal melts")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    _clean(axes, "Speed of the crystal's front", "temperature", r"speed ($\sigma/\tau$)")


def _mobility(axes: Axes, rows: Sequence[Row]) -> None:
    t = [row.temperature for row in rows]
    axes.scatter(t, [row.liquid_diffusion for row in rows], s=20, color=LIQUID, label="liquid")
    axes.scatter(t, [row.crystal_diffusion for row in rows], s=20, color=CRYSTAL, label="crystal")
    axes.set_ylim(bottom=-0.002)
    axes.locator_params(axis="x", nbins=5)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    _clean(axes, "Diffusion tells the phases", "temperature", r"D ($\sigma^2/\tau$)")


def _shells(axes: Axes, row: Row) -> None:
    axes.plot(row.distances, row.crystal_rdf, color=CRYSTAL, linewidth=1.3, label="crystal atoms")
    axes.plot(row.distances, row.liquid_rdf, color=LIQUID, linewidth=1.3, label="liquid atoms")
    axes.set_xlim(0.8, max(row.distances))
    axes.legend(fontsize=8, frameon=False)
    _clean(axes, f"Neighbours at T = {row.temperature:.3f}", r"distance ($\sigma$)", "g(r)")


def melting_curve(
    path: Path, rows: Sequence[Row], result: Melting, published: Published
) -> None:  # fmt: skip
    """Draw front speed, diffusion and radial distribution of all runs."""
    figure = Figure(figsize=(10, 5.2), dpi=130, layout="constrained")
    grid = figure.add_gridspec(2, 3)
    _growth(figure.add_subplot(grid[:, :2]), rows, result, published)
    _mobility(figure.add_subplot(grid[0, 2]), rows)
    closest = min(rows, key=lambda row: abs(row.temperature - result.temperature))
    _shells(figure.add_subplot(grid[1, 2]), closest)
    figure.savefig(path)


def _lanes(records: Sequence[Record]) -> dict[tuple[str, str], int]:
    keys = {_lane(record) for record in records}
    ordered = sorted(keys, key=lambda key: (key[0], key[1] != NO_CORE, key[1].zfill(8)))
    return {key: place for place, key in enumerate(ordered)}


def _lane(record: Record) -> tuple[str, str]:
    _, _, node, core, _, _ = record
    return node, NO_CORE if core is None else str(core)


def _lane_label(lane: tuple[str, str], nodes: int) -> str:
    node, core = lane
    what = NO_CORE if core == NO_CORE else f"core {core}"
    return what if nodes == 1 else f"{node}, {what}"


def timeline(path: Path, records: Sequence[Record]) -> None:
    """Draw which runtime used which core when.

    Args:
        path: The picture.
        records: One for each task and core.
    """
    lanes = _lanes(records)
    begin = min((record[4] for record in records), default=0.0)
    figure = Figure(figsize=(10, 1.6 + 0.5 * max(len(lanes), 1)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for runtime in sorted({record[0] for record in records}):
        for record in records:
            if record[0] == runtime:
                bar = (record[4] - begin, max(record[5] - record[4], 0.0))
                axes.broken_barh(
                    [bar], (lanes[_lane(record)] - 0.38, 0.76), linewidth=0.6,
                    facecolor=COLOURS.get(runtime, "#9467bd"), edgecolor="white",
                )  # fmt: skip
    nodes = len({node for node, _ in lanes})
    axes.set_yticks(range(len(lanes)), [_lane_label(lane, nodes) for lane in lanes])
    axes.autoscale_view()
    used = sorted({record[0] for record in records})
    axes.legend(
        handles=[Patch(color=COLOURS.get(name, "#9467bd"), label=name) for name in used],
        fontsize=8, frameon=False, ncols=max(len(used), 1), loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip
    _clean(axes, "Which runtime used which core", "seconds since the first task", "")
    figure.savefig(path)
