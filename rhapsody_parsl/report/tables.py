"""The numbers of a run, as tables."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from rhapsody_parsl.record.run import RequestRecord, RunRecord, TaskRecord
from rhapsody_parsl.report.spread import grouped, percentile, spread
from rhapsody_parsl.wire.door import FRONT_DOOR

__all__ = ("Row", "apps", "blocks", "causes", "failures", "slowest", "steps", "summary")

Row = dict[str, Any]
_MOST_ROWS = 50


def summary(run: RunRecord) -> Row:
    """Return what is told first."""
    outcomes = Counter(task.outcome for task in run.tasks)
    seconds = max(run.ended - run.began, 1e-9)
    used = sum(task.seconds * sum(len(share.cores) for share in task.shares) for task in run.tasks)
    had = sum(block.cores * ((block.left or run.ended) - block.joined) for block in run.blocks)
    starts = [task.started for task in run.tasks if task.started]
    active = max((task.ended for task in run.tasks), default=0.0) - min(starts, default=0.0)
    return {
        "executor": run.label,
        "state": "shut down" if run.complete else "goes on, or was killed",
        "seconds": seconds,
        "tasks": len(run.tasks),
        "unfinished": run.unfinished,
        **{name: outcomes.get(name, 0) for name in ("done", "raised", "failed", "lost", "cancelled")},
        "tasks per second": len(run.tasks) / active if starts and active > 0 else 0.0,
        "blocks": len(run.blocks),
        "nodes": sum(len(block.nodes) for block in run.blocks),
        "cores": sum(block.cores for block in run.blocks),
        "core hours used": used / 3600,
        "core hours held": had / 3600,
        "used": used / had if had else 0.0,
        "package": run.package,
        "requests": len(run.requests),
        "requests dropped": run.dropped,
    }


def apps(run: RunRecord) -> list[Row]:
    """Return a row for each app, the one that took the longest in all first."""
    by_app = grouped(run.tasks, lambda task: (task.app, task.runtime))
    rows = []
    for (app, runtime), tasks in by_app.items():
        ran = sorted(task.seconds for task in tasks if task.started)
        total = sum(ran)
        rows.append({
            "app": app, "runtime": runtime, "tasks": len(tasks),
            "no value": sum(task.outcome != "done" for task in tasks),
            "total s": total, "mean s": total / len(ran) if ran else 0.0, **spread(ran),
            "wait p50 s": percentile(sorted(task.waited for task in tasks), 0.5),
            "wait p99 s": percentile(sorted(task.waited for task in tasks), 0.99),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["total s"])[:_MOST_ROWS]


def steps(run: RunRecord) -> list[Row]:
    """Return how long tasks spent where, of those that ran in a block."""
    ran = [task for task in run.tasks if task.started and task.submitted]
    parts: dict[str, Callable[[TaskRecord], float]] = {
        "driver, and way to the block": lambda task: task.accepted - task.submitted,
        "queue of the block": lambda task: task.placed - task.accepted,
        "way to the worker, behind others there": lambda task: task.started - task.placed,
        "running": lambda task: task.seconds,
        "way of the result": lambda task: task.heard - task.ended,
        "all": lambda task: task.heard - task.submitted,
    }
    return [{"step": name, **spread(max(0.0, part(task)) for task in ran)} for name, part in parts.items()]


def causes(run: RunRecord) -> list[Row]:
    """Return what tasks waited for in their block, the longest in all first."""
    placed = [task for task in run.tasks if task.placed and task.accepted]
    rows = []
    for cause, tasks in grouped(placed, lambda task: task.waited_for).items():
        waits = [max(0.0, task.placed - task.accepted) for task in tasks]
        rows.append({"waited for": cause, "tasks": len(tasks), "total s": sum(waits), **spread(waits)})
    return sorted(rows, key=lambda row: -row["total s"])


class _Failed(NamedTuple):
    """What returned no value: a task, or a request at a front door, which has no number."""

    outcome: str
    error: str
    words: str
    what: str
    number: int | None = None


def failures(run: RunRecord) -> list[Row]:
    """Return a row for each kind of failure, the most frequent first."""
    ended = [
        *(_Failed(task.outcome, task.failure, task.words, task.app, task.task) for task in run.tasks),
        *(_Failed(each.outcome, each.failure, each.words, _asker(each)) for each in run.requests),
    ]
    failed = (each for each in ended if each.outcome != "done")
    rows = []
    for (outcome, error, words), alike in grouped(failed, lambda each: each[:3]).items():
        names = sorted({each.what for each in alike})
        rows.append({
            "outcome": outcome, "error": error, "words": words, "how many": len(alike),
            "apps": ", ".join(names[:5]) + (" ..." if len(names) > 5 else ""),  # noqa: PLR2004 - as many as fit
            "first task": alike[0].number,
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["how many"])[:_MOST_ROWS]


def _asker(request: RequestRecord) -> str:
    """Return who asked at a front door, as apps have their names."""
    return f"{FRONT_DOOR}, key {request.key}" if request.key else FRONT_DOOR


def slowest(run: RunRecord) -> list[Row]:
    """Return the tasks that ran longest."""
    ran = sorted((task for task in run.tasks if task.started), key=lambda task: -task.seconds)
    return [
        {
            "task": task.task, "app": task.app, "runtime": task.runtime, "outcome": task.outcome,
            "seconds": task.seconds, "waited s": task.waited, "waited for": task.waited_for,
            "nodes": ", ".join(share.node for share in task.shares[:3]) + (" ..." if len(task.shares) > 3 else ""),  # noqa: PLR2004 - as above
            "cores": sum(len(share.cores) for share in task.shares),
            "GPUs": sum(len(share.gpus) for share in task.shares),
            "tries": task.tries,
        }
        for task in ran[:20]
    ]  # fmt: skip


def blocks(run: RunRecord) -> list[Row]:
    """Return a row for each block."""
    counts = Counter(task.block for task in run.tasks)
    return [
        {
            "block": block.id, "nodes": len(block.nodes), "cores": block.cores,
            "GPUs": sum(node.gpus for node in block.nodes), "tasks": counts[block.id],
            "joined s": block.joined - run.began, "left s": block.left - run.began if block.left else None,
            "why": block.reason,
        }
        for block in run.blocks
    ]  # fmt: skip
