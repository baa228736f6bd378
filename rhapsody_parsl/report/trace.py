"""A run as a trace of the Chrome format, which ui.perfetto.dev opens: a process per node, a thread per core and GPU."""

from collections.abc import Iterator
from typing import Any

import msgspec

from rhapsody_parsl.record.run import RunRecord
from rhapsody_parsl.report.bars import Bar, Rows, timeline

__all__ = ("trace",)

Event = dict[str, Any]


def trace(run: RunRecord) -> bytes:
    """Return the trace as JSON; times in it are microseconds since the executor started."""
    return msgspec.json.encode({"traceEvents": list(_events(run)), "displayTimeUnit": "ms"})


def _events(run: RunRecord) -> Iterator[Event]:
    of = timeline(run)
    home: dict[int, tuple[int, int]] = {}
    for process, rows in enumerate(of.rows, 1):
        yield from _names(process, rows)
        home.update((rows.first + place, (process, place + 1)) for place in range(rows.size))
    for bar in of.bars:
        yield _slice(bar, *home[bar.row], run.began)
    for sample in run.samples:
        counts, at = {"waiting": sample.queued, "running": sample.running}, _us(sample.at - run.began)
        yield {"ph": "C", "name": f"tasks of block {sample.block}", "pid": 0, "ts": at, "args": counts}
    for use in run.use:
        facts = {"CPU %": 100 * use.cpu, **{f"GPU {n} %": 100 * busy for n, (busy, _) in enumerate(use.gpus)}}
        yield {"ph": "C", "name": f"use of {use.node}", "pid": 0, "ts": _us(use.at - run.began), "args": facts}


def _names(process: int, rows: Rows) -> Iterator[Event]:
    name = rows.name if rows.kind == "request" else f"{rows.name} {rows.kind}s"
    yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    for place in range(rows.size):
        args = {"name": f"{rows.kind} {place}"}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": place + 1, "args": args}


def _slice(bar: Bar, process: int, thread: int, began: float) -> Event:
    """Return a bar as one slice: of a task with several cores of a node in a row, on the first of them."""
    return {
        "ph": "X", "name": bar.app, "cat": f"{bar.runtime},{bar.outcome}", "pid": process, "tid": thread,
        "ts": _us(bar.start - began), "dur": _us(bar.end - bar.start),
        "args": {"task": bar.task, "outcome": bar.outcome, "runtime": bar.runtime, "cores or GPUs here": bar.rows},
    }  # fmt: skip


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
