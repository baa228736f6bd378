"""The page: all data and code in one HTML file, which asks nothing of any server."""

import base64
import time
from array import array
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from rhapsody_parsl.record.run import RunRecord
from rhapsody_parsl.report import requests, series, tables, use
from rhapsody_parsl.report.bars import Timeline, timeline

__all__ = ("page",)

_TICKS = (1 << 32) - 1
"""Of the run's time: starts and ends are whole numbers of them."""


def page(run: RunRecord) -> str:
    """Return the page of a run."""
    folder = files("rhapsody_parsl.report")
    text = (folder / "page.html").read_text("utf-8")
    data = msgspec.json.encode(data_of(run)).decode().replace("<", "\\u003c")  # no end of a script
    style, code = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    for mark, value in (("/*STYLE*/", style), ("/*CODE*/", code), ("/*DATA*/", data)):
        text = text.replace(mark, value)
    return text


def data_of(run: RunRecord) -> dict[str, Any]:
    """Return what the page's code shows."""
    bins = series.Bins(run.began, run.ended)
    gpus = any(node.gpus for block in run.blocks for node in block.nodes)
    charts: dict[str, dict[str, Any]] = {
        "cores": series.Series(
            series.in_use(run, bins, lambda share: len(share.cores)), series.capacity(run, bins)
        ).as_data(),
        "running": series.Series(series.running(run, bins), []).as_data(),
        "ended": series.Series(series.ended(run, bins), []).as_data(),
        "waiting": series.Series(series.waiting(run, bins), []).as_data(),
    }
    if gpus:
        used = series.in_use(run, bins, lambda share: len(share.gpus))
        charts["gpus"] = series.Series(used, series.capacity(run, bins, gpus=True)).as_data()
    if asked := requests.requests(run):
        charts["requests"] = series.Series(requests.under_way(asked, bins), []).as_data()
        charts["tokens"] = series.Series(requests.tokens(asked, bins), []).as_data()
        charts["latency"] = {"layers": {}, "line": [], "lines": requests.latencies(run, asked)}
    return {
        "title": run.label,
        "began": time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(run.began)),
        "seconds": run.ended - run.began,
        "summary": tables.summary(run),
        "charts": charts,
        "timeline": _packed(timeline(run), run),
        "use": use.strips(run),
        "tables": {
            "apps": tables.apps(run), "steps": tables.steps(run), "causes": tables.causes(run),
            "services": requests.services(run), "failures": tables.failures(run), "slowest": tables.slowest(run),
            "requests": requests.slowest(run), "blocks": tables.blocks(run), "nodes": use.nodes(run),
        },
    }  # fmt: skip


def _packed(of: Timeline, run: RunRecord) -> dict[str, Any]:
    """Return a timeline as arrays of numbers: half a million bars are read in a moment."""
    bars = sorted(of.bars, key=lambda bar: (bar.outcome not in ("lease", "service"), bar.row, bar.start))
    names, runtimes, outcomes = _Names(), _Names(), _Names()
    scale = _TICKS / max(run.ended - run.began, 1e-3)

    def ticks(times: Iterable[float]) -> str:
        return _numbers(min(_TICKS, max(0, round((time - run.began) * scale))) for time in times)

    return {
        "rows": [list(rows) for rows in of.rows],
        "row": _numbers(bar.row for bar in bars),
        "count": _numbers(bar.rows for bar in bars),
        "start": ticks(bar.start for bar in bars),
        "end": ticks(bar.end for bar in bars),
        "task": _numbers(bar.task for bar in bars),
        "app": _numbers(names.of(bar.app) for bar in bars),
        "runtime": _numbers(runtimes.of(bar.runtime) for bar in bars),
        "outcome": _numbers(outcomes.of(bar.outcome) for bar in bars),
        "apps": names.all, "runtimes": runtimes.all, "outcomes": outcomes.all,
    }  # fmt: skip


class _Names:
    """Names by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Return a name's number."""
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def all(self) -> Sequence[str]:
        """Return the names, by number."""
        return list(self._numbers)


def _numbers(values: Iterable[int]) -> str:
    return base64.b64encode(array("I", values).tobytes()).decode()
