"""The numbers of a run, as tables."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rhapsody_parsl.record.run import RunRecord, TaskRecord

__all__ = ("Row", "apps", "blocks", "causes", "failures", "percentile", "services", "slowest", "steps", "summary")

Row = dict[str, Any]
_MOST_ROWS = 50


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which so much of a sorted sequence is; 0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _spread(values: Iterable[float], unit: str = "s") -> Row:
    ordered = sorted(values)
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {
        **{f"{name} {unit}": percentile(ordered, part) for name, part in parts.items()},
        f"most {unit}": ordered[-1] if ordered else 0.0,
    }


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
    }


def apps(run: RunRecord) -> list[Row]:
    """Return a row for each app, the one that took the longest in all first."""
    by_app = _grouped(run.tasks, lambda task: (task.app, task.runtime))
    rows = []
    for (app, runtime), tasks in by_app.items():
        ran = sorted(task.seconds for task in tasks if task.started)
        total = sum(ran)
        rows.append({
            "app": app, "runtime": runtime, "tasks": len(tasks),
            "no value": sum(task.outcome != "done" for task in tasks),
            "total s": total, "mean s": total / len(ran) if ran else 0.0, **_spread(ran),
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
    return [{"step": name, **_spread(max(0.0, part(task)) for task in ran)} for name, part in parts.items()]


def causes(run: RunRecord) -> list[Row]:
    """Return what tasks waited for in their block, the longest in all first."""
    placed = [task for task in run.tasks if task.placed and task.accepted]
    rows = []
    for cause, tasks in _grouped(placed, lambda task: task.waited_for).items():
        waits = [max(0.0, task.placed - task.accepted) for task in tasks]
        rows.append({"waited for": cause, "tasks": len(tasks), "total s": sum(waits), **_spread(waits)})
    return sorted(rows, key=lambda row: -row["total s"])


def failures(run: RunRecord) -> list[Row]:
    """Return a row for each kind of failure, the most frequent first."""
    failed = [task for task in run.tasks if task.outcome != "done"]
    rows = []
    for (outcome, name, words), tasks in _grouped(failed, lambda t: (t.outcome, t.failure, t.words)).items():
        names = sorted({task.app for task in tasks})
        rows.append({
            "outcome": outcome, "error": name, "words": words, "tasks": len(tasks),
            "apps": ", ".join(names[:5]) + (" ..." if len(names) > 5 else ""),  # noqa: PLR2004 - as many as fit
            "first task": tasks[0].task,
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["tasks"])[:_MOST_ROWS]


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


def services(run: RunRecord) -> list[Row]:
    """Return a row for each service that was there or was asked."""
    asked = _grouped((task for task in run.tasks if task.service), lambda task: task.service)
    rows = []
    for name in dict.fromkeys([*asked, *(moment.name for moment in run.services)]):
        tasks = asked.get(name, [])
        ran = [task for task in tasks if task.started]
        span = max((task.ended for task in ran), default=0.0) - min((task.started for task in ran), default=0.0)
        tokens = sum(task.request.tokens for task in ran if task.request)
        first = [task.request.first for task in ran if task.request and task.request.first]
        rows.append({
            "service": name, **_life(run, name),
            "requests": len(tasks), "no answer": sum(task.outcome != "done" for task in tasks),
            "requests per s": len(ran) / span if span > 0 else 0.0,
            **{f"wait {key}": value for key, value in _spread(task.started - task.submitted for task in ran).items()},
            **{f"answer {key}": value for key, value in _spread(task.seconds for task in ran).items()},
            "first token p50 s": percentile(sorted(first), 0.5) if first else None,
            "tokens": tokens or None, "tokens per s": tokens / span if tokens and span > 0 else None,
        })  # fmt: skip
    return rows


def _life(run: RunRecord, name: str) -> Row:
    """Return how a service was at last, when it could first be asked, and how many replicas answered at most."""
    moments = [moment for moment in run.services if moment.name == name]
    ready = [moment.at - run.began for moment in moments if moment.ready]
    return {
        "state": moments[-1].state if moments else None, "ready s": min(ready, default=None),
        "replicas": max((moment.ready for moment in moments), default=None),
    }  # fmt: skip


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


def _grouped(tasks: Iterable[TaskRecord], key: Callable[[TaskRecord], Any]) -> dict[Any, list[TaskRecord]]:
    groups: defaultdict[Any, list[TaskRecord]] = defaultdict(list)
    for task in tasks:
        groups[key(task)].append(task)
    return groups
