"""The timeline and the use of cores as a picture, for a paper or a slide; only this module needs matplotlib."""

from collections import defaultdict
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rhapsody_parsl.record.run import RunRecord
from rhapsody_parsl.report import series
from rhapsody_parsl.report.bars import Bar, timeline
from rhapsody_parsl.wire.door import FRONT_DOOR

__all__ = ("draw",)

_COLOURS = ("#3a7d44", "#2a6f97", "#c8553d", "#e0a100", "#6c7a89", "#8e5ea2")
_SERVICE, _SERVICES = "#b5a6c9", "services"


def draw(run: RunRecord, path: Path) -> None:
    """Write the picture.

    Args:
        run: The run.
        path: Where to; its ending says the format (PNG, PDF, SVG).
    """
    mpl.use("Agg")
    figure = Figure(figsize=(11, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _timeline(upper, run)
    _use(lower, run)
    figure.savefig(path, dpi=150)


def _named(bar: Bar) -> str:
    return _SERVICES if bar.outcome in ("service", "lease") else bar.runtime


def _colours(run: RunRecord) -> dict[str, str]:
    """Return a colour for each runtime, and for what services hold."""
    runtimes = sorted({task.runtime for task in run.tasks} | ({FRONT_DOOR} if run.requests else set()))
    return {**dict(zip(runtimes, cycle(_COLOURS), strict=False)), _SERVICES: _SERVICE}


def _timeline(axes: Axes, run: RunRecord) -> None:
    of, colours = timeline(run), _colours(run)
    shapes: defaultdict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for bar in of.bars:
        a, b, top, bottom = bar.start - run.began, bar.end - run.began, bar.row + 0.05, bar.row + bar.rows - 0.05
        shapes[_named(bar)].append([(a, top), (b, top), (b, bottom), (a, bottom)])
    for name, boxes in shapes.items():
        axes.add_collection(PolyCollection(boxes, facecolors=colours[name], linewidths=0))
    patches = [Patch(color=colours[name], label=name) for name in shapes]
    axes.legend(handles=patches, loc="lower right", fontsize=8)
    axes.set_yticks(
        [rows.first + rows.size / 2 for rows in of.rows],
        [rows.name if rows.kind == "request" else f"{rows.name} {rows.kind}s" for rows in of.rows],
        fontsize=8,
    )
    axes.set_ylim(max((rows.first + rows.size for rows in of.rows), default=1), 0)
    axes.set_title(f"Run of executor {run.label}: {len(run.tasks):,} tasks", loc="left", fontsize=11)


def _use(axes: Axes, run: RunRecord) -> None:
    bins = series.Bins(run.began, run.ended)
    at = [(number + 0.5) * bins.width for number in range(bins.count)]
    colours = _colours(run)
    layers = series.in_use(run, bins, lambda share: len(share.cores))
    if layers:
        axes.stackplot(at, *layers.values(), colors=[colours[name] for name in layers], step="mid")
    axes.plot(at, series.capacity(run, bins), color="#2b2b2b", linestyle="--", linewidth=1, label="cores of the blocks")
    axes.set_xlim(0, run.ended - run.began)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time since the executor started (s)")
    axes.set_ylabel("cores in use")
    axes.legend(loc="lower right", fontsize=8)
