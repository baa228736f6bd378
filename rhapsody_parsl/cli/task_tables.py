"""Tables for people: an executor's tasks by app and state, what waits and why, and some one by one."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rhapsody_parsl.cli.figures import duration
from rhapsody_parsl.cli.tables import cut, fitting, state_text, table_of
from rhapsody_parsl.control.messages import AppTasks, TaskTable, TaskView

__all__ = ("apps_table", "listed_table", "queues", "task_table", "waits_table")

_MOST_NODES = 3
"""Of a task, named one by one."""


def apps_table(apps: Sequence[AppTasks], most: int = 30) -> Table:
    """Return the tasks by app and state."""
    titles = "no block", "waiting", "running", "prefetched", "done", "failed", "lost", "cancelled"
    keys = "undelivered", *titles[1:]
    shown = [(title, key) for title, key in zip(titles, keys, strict=True) if any(getattr(app, key) for app in apps)]
    table = table_of("app", *(f">{title}" for title, _ in shown))
    for app in fitting(apps, most):
        table.add_row(app.app, *(f"{getattr(app, key):,}" for _, key in shown))
    return cut(table, len(apps), most)


def waits_table(tasks: TaskTable, most: int = 15, wrap: bool = True) -> Table:
    """Return what waits and why."""
    table = table_of(">waiting", "app", ">for", "why")
    for wait in fitting(tasks.waits, most):
        asks = f"({wait.asks}) " if wait.asks and not wait.why.startswith("it needs") else ""
        table.add_row(
            f"{wait.tasks:,}",
            wait.app,
            duration(wait.oldest) if wait.oldest else "-",
            Text(f"{asks}{wait.why}", no_wrap=not wrap, overflow="ellipsis"),
        )
    return cut(table, len(tasks.waits), most)


def listed_table(tasks: Sequence[TaskView]) -> Table:
    """Return tasks one by one."""
    table = table_of(">task", "app", "state", "runtime", "block", "nodes", "process")
    for task in tasks:
        more = len(task.nodes) - _MOST_NODES
        nodes = ", ".join(task.nodes[:_MOST_NODES]) + (f" and {more} more" if more > 0 else "")
        table.add_row(str(task.task), task.app, state_text(task.state), task.runtime, task.block, nodes, task.worker)
    return table


def queues(tasks: TaskTable) -> dict[str, int]:
    """Return how many requests wait, by service."""
    counts = Counter[str]()
    for wait in tasks.waits:
        counts[wait.service] += wait.tasks
    return counts


def task_table(tasks: TaskTable) -> RenderableType:
    """Return the tasks, what waits, and why."""
    parts: list[RenderableType] = [apps_table(tasks.apps) if tasks.apps else Text("no task yet")]
    if tasks.waits:
        parts += ["", waits_table(tasks)]
    if tasks.tasks:
        parts += ["", listed_table(tasks.tasks)]
    if tasks.silent:
        parts += [
            "",
            Text(f"block {', '.join(tasks.silent)} did not answer in time: its tasks count as waiting", "yellow"),
        ]
    return Group(*parts)
