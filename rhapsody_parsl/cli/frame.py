"""One frame of `top`: an executor on one screen, from a laptop's block to a thousand nodes. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from rhapsody_parsl.cli.bars import bar, nodes_picture, sparkline
from rhapsody_parsl.cli.figures import duration, lent_to, node_uses, nodes_of, serves, total, work
from rhapsody_parsl.cli.history import History
from rhapsody_parsl.cli.tables import blocks_table, door_rows, door_table, runtimes_table, services_table
from rhapsody_parsl.cli.task_tables import apps_table, queues, waits_table
from rhapsody_parsl.control.messages import RunView, TaskTable

__all__ = ("Size", "frame")

_LEAST_ROWS = 2
"""Of each table, however low the screen is."""
_AROUND = 2
"""Lines that a table takes beside its rows: its titles, and one before it."""


class Size(NamedTuple):
    """Of a screen, in characters."""

    width: int
    height: int


class _Part(NamedTuple):
    """A table of the frame.

    Attributes:
        weight: The lightest goes first from a screen that is too low for all.
        rows: How many it has.
        make: Makes it with so many of them at most.
    """

    weight: int
    rows: int
    make: Callable[[int], RenderableType]


def frame(run: RunView, tasks: TaskTable, history: History, size: Size) -> RenderableType:
    """Return a screen.

    Args:
        run: How everything is.
        tasks: What waits and why.
        history: How many tasks had ended, and when.
        size: Of the screen.
    """
    nodes = nodes_picture(node_uses(run.view.blocks), size.width)
    lines = [*_head(run, history, size.width), *_bars(run, size.width), *nodes]
    if tasks.silent:
        lines.append(Text(f"block {', '.join(tasks.silent)} did not answer in time", "yellow"))
    left = size.height - len(lines) - 1
    parts = _those_that_fit([part for part in _parts(run, tasks, history) if part.rows], left)
    rows = shared([part.rows for part in parts], left - _AROUND * len(parts))
    tables = [each for part, most in zip(parts, rows, strict=True) for each in ("", part.make(most))]
    return Group(*lines, *tables)


def _parts(run: RunView, tasks: TaskTable, history: History) -> list[_Part]:
    blocks = run.view.blocks
    runtimes = {name for block in blocks for name in block.runtimes}
    return [
        _Part(3, len(blocks), lambda most: blocks_table(blocks, run.now, most)),
        _Part(1, len(runtimes), lambda most: runtimes_table(blocks, most)),
        _Part(2, len(serves(blocks)), lambda most: services_table(blocks, queues(tasks), most)),
        _Part(2, len(door_rows(run.view)), lambda most: door_table(run.view, history.token_rates, most)),
        _Part(5, len(tasks.apps), lambda most: apps_table(tasks.apps, most)),
        _Part(4, len(tasks.waits), lambda most: waits_table(tasks, most, wrap=False)),
    ]


def _those_that_fit(parts: list[_Part], lines: int) -> list[_Part]:
    """Return the parts without the lightest, where there are too few lines for all."""
    while len(parts) > 1 and sum(min(_LEAST_ROWS, part.rows) + _AROUND for part in parts) > lines:
        lightest = min(parts, key=lambda part: part.weight)
        parts = [part for part in parts if part is not lightest]
    return parts


def shared(wanted: Sequence[int], lines: int) -> list[int]:
    """Return how many rows each table gets of some lines, two at least and none more than it has."""
    got = [min(_LEAST_ROWS, want) for want in wanted]
    left = lines - sum(got)
    while left > 0 and got != list(wanted):
        for index in (index for index, want in enumerate(wanted) if got[index] < want):
            got[index] += 1 if left > 0 else 0
            left -= 1
    return got


def _head(run: RunView, history: History, width: int) -> list[Text]:
    view, ended = run.view, run.view.totals.tasks
    queued, running = (sum(getattr(block.tasks, key) for block in view.blocks) for key in ("queued", "running"))
    nodes, lost = nodes_of(view.blocks)
    pending = sum(state == "pending" for state in run.jobs.values())
    waiting = run.undelivered + queued
    who = f" on {run.run.host}, up {duration(run.now - run.run.began)}  "
    left = width - len(run.run.label) - len(who)
    folder = run.run.folder if len(run.run.folder) <= left else f"…{run.run.folder[1 - left :]}"
    sums = f"tasks  {view.outstanding:,} outstanding: {waiting:,} wait, {running:,} with a runtime  "
    speed = "" if history.rate is None else f"{history.rate:,.1f}/s "
    rates = sparkline(history.rates(max(0, min(40, width - len(sums) - len(speed)))))
    lines = [
        Text.assemble((run.run.label, "bold"), (who, "dim"), (folder, "dim")),
        Text.assemble(sums, (speed, "bold"), (rates, "green")),
        Text(
            f"ended  {ended.done:,} done, {ended.failed:,} failed, {ended.lost:,} lost, {ended.cancelled:,} cancelled"
        ),
        Text.assemble(
            f"blocks {len(view.blocks)} connected, {pending} pending; {nodes:,} nodes",
            (f", {lost} lost" if lost else "", "bold red"),
        ),
    ]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _bars(run: RunView, width: int) -> list[Text]:
    """Return a bar of all cores and one of all GPUs, in the colours of who holds them, and how much they work."""
    held, has = lent_to(run.view.blocks), [total(block) for block in run.view.blocks]
    cores, gpus = sum(each.cores for each in has), sum(each.gpus for each in has)
    bars = [bar("cores", {name: out.cores for name, out in held.items()}, cores, width)] if cores else []
    bars += [bar("GPUs", {name: out.gpus for name, out in held.items()}, gpus, width)] if gpus else []
    worked = work(run.view.blocks)
    return [*bars, Text(f"work   {worked}", no_wrap=True, overflow="ellipsis")] if worked else bars
