"""Tables for people: an executor and its blocks, runtimes and services."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rhapsody_parsl.cli.figures import duration, lent, lent_to, nodes_of, serves, total, work
from rhapsody_parsl.control.messages import RunView
from rhapsody_parsl.wire.states import SHOWN_FIRST
from rhapsody_parsl.wire.totals import DoorTotals
from rhapsody_parsl.wire.views import BlockView, ExecutorView, ServiceStatus

__all__ = (
    "blocks_table", "console_of", "cut", "door_rows", "door_table", "fitting", "heading", "runtimes_table",
    "services_table", "show", "state_text", "status", "statuses_table", "table_of",
)  # fmt: skip

T = TypeVar("T")

_PLAIN_WIDTH = 120
"""Columns, where the output is no terminal."""
_COLOURS = {
    "connected": "green", "ready": "green", "running": "green", "leaving": "yellow", "starting": "yellow",
    "waiting": "yellow", "stopping": "yellow", "asleep": "cyan", "pending": "yellow", "prefetched": "cyan",
    "failed": "red", "lost": "red",
}  # fmt: skip


def show(what: RenderableType) -> None:
    """Print to the person at the terminal; without colours and wider, where it is none."""
    console = console_of()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(what)


def console_of(**options: Any) -> Console:
    """Return a console that prints names as they are, whatever is in them."""
    return Console(markup=False, highlight=False, emoji=False, **options)


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, _COLOURS.get(state, "dim"))


def table_of(*columns: str) -> Table:
    """Return an empty table.

    Args:
        columns: Titles; one of numbers begins with `>`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["right", "left"] = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=column != "why")
    return table


def heading(run: RunView) -> Text:
    """Return who is asked, and the sums."""
    view, facts = run.view, run.run
    ended, waiting = view.totals.tasks, sum(block.tasks.queued for block in view.blocks)
    running = sum(block.tasks.running for block in view.blocks)
    nodes, lost = nodes_of(view.blocks)
    jobs = [state for id_, state in run.jobs.items() if id_ not in {block.id for block in view.blocks}]
    pending = sum(state == "pending" for state in jobs)
    lines = [
        f"executor {facts.label}, process {facts.pid} on {facts.host}, up {duration(run.now - facts.began)}",
        f"{facts.folder}",
        f"tasks   {view.outstanding:,} outstanding: {run.undelivered:,} wait for a block, {waiting:,} in blocks, "
        f"{running:,} with a runtime",
        f"ended   {ended.done:,} done, {ended.failed:,} failed, {ended.lost:,} lost, {ended.cancelled:,} cancelled",
        f"blocks  {len(view.blocks)} connected, {pending} pending; {nodes:,} nodes"
        + (f", {lost} lost" if lost else ""),
    ]
    if worked := work(view.blocks):
        lines.append(f"work    {worked}")
    return Text("\n".join(lines))


def blocks_table(blocks: Sequence[BlockView], now: float, most: int = 20) -> Table:
    """Return the blocks."""
    table = table_of("block", "state", ">nodes", ">cores", ">GPUs", ">waiting", ">running", ">ends in")
    for block in fitting(blocks, most):
        has, out = total(block), lent(block)
        table.add_row(
            block.id,
            state_text(block.state),
            f"{len(block.nodes):,}",
            f"{out.cores:,}/{has.cores:,}",
            f"{out.gpus:,}/{has.gpus:,}" if has.gpus else "-",
            f"{block.tasks.queued:,}",
            f"{block.tasks.running:,}",
            "-" if block.ends_at is None else duration(block.ends_at - now),
        )
    return cut(table, len(blocks), most)


def runtimes_table(blocks: Sequence[BlockView], most: int = 20) -> Table:
    """Return the runtimes of all blocks together."""
    table = table_of("runtime", "state", ">cores", ">GPUs", ">running", ">done", ">failed", ">lost")
    held = lent_to(blocks)
    names = list(dict.fromkeys(name for block in blocks for name in block.runtimes))
    for name in fitting(names, most):
        reports = [block.runtimes[name] for block in blocks if name in block.runtimes]
        states = list(dict.fromkeys(report.state for report in reports))
        out = held.get(name)
        table.add_row(
            name,
            Text(" ").join(state_text(state) for state in states),
            f"{out.cores:,}" if out else "0",
            f"{out.gpus:,}" if out else "0",
            *(f"{sum(getattr(each, key) for each in reports):,}" for key in ("running", "done", "failed", "lost")),
        )
    return cut(table, len(names), most)


def services_table(blocks: Sequence[BlockView], waiting: Mapping[str, int] | None = None, most: int = 20) -> Table:
    """Return the services of all blocks together.

    Args:
        blocks: The blocks.
        waiting: Requests that wait, by service; None where nobody has asked.
        most: How many to show at most.
    """
    queue = [] if waiting is None else [">queue"]
    table = table_of("service", "state", ">ready", ">cores", ">GPUs", *queue, ">done", ">failed")
    served = serves(blocks)
    for name, reports in fitting(list(served.items()), most):
        states = {report.state for report in reports}
        table.add_row(
            name,
            state_text(next((state for state in SHOWN_FIRST if state in states), "waiting")),
            f"{sum(each.ready for each in reports)}/{sum(each.replicas for each in reports)}",
            f"{sum(each.cores for each in reports):,}",
            f"{sum(each.gpus for each in reports):g}",
            *([] if waiting is None else [f"{waiting.get(name, 0):,}"]),
            f"{sum(each.requests.done for each in reports):,}",
            f"{sum(each.requests.failed + each.requests.lost for each in reports):,}",
        )
    return cut(table, len(served), most)


def door_rows(view: ExecutorView) -> list[str]:
    """Return the services that were asked, or are, at the front doors."""
    return sorted({*view.totals.door, *(name for block in view.blocks for name in block.door)})


def door_table(view: ExecutorView, rates: Mapping[str, float] | None = None, most: int = 20) -> Table:
    """Return the requests at the front doors of all blocks, by service.

    Args:
        view: The executor.
        rates: Tokens per second, by service; None where nobody counts them.
        most: How many to show at most.
    """
    rate = [] if rates is None else [">tokens/s"]
    titles = ">waiting", ">answering", ">done", ">failed", ">refused", ">left", ">lost", ">tokens"
    table, names = table_of("front door", *titles, *rate), door_rows(view)
    for name in fitting(names, most):
        loads = [block.door[name] for block in view.blocks if name in block.door]
        ended = view.totals.door.get(name, DoorTotals())
        counts = (
            sum(load.waiting for load in loads), sum(load.answering for load in loads), ended.done,
            ended.failed + ended.late, ended.refused, ended.left, ended.lost, ended.tokens,
        )  # fmt: skip
        told = [] if rates is None else [f"{rates.get(name, 0.0):,.1f}"]
        table.add_row(name, *(f"{count:,}" for count in counts), *told)
    return cut(table, len(names), most)


def statuses_table(services: Sequence[ServiceStatus]) -> Table:
    """Return services as they are in each block."""
    table = table_of("service", "state", ">ready", "block", "in the block", "nodes", "url", "why")
    for service in services:
        of_all: list[RenderableType] = [service.name, state_text(service.state), f"{service.ready}/{service.replicas}"]
        if not service.blocks:
            table.add_row(*of_all)
        for block, report in service.blocks.items():
            there = f"{report.state} {report.ready}/{report.replicas}"
            table.add_row(*of_all, block, there, report.node, report.url, Text(report.detail))
            of_all = ["", "", ""]
    return table


def fitting(rows: Sequence[T], most: int) -> Sequence[T]:
    """Return as many as fit, beside the line for the others where there are some."""
    return rows if len(rows) <= most else rows[: max(0, most - 1)]


def cut(table: Table, there: int, most: int) -> Table:
    """Say how many of a table's rows do not fit."""
    if there > most:
        table.add_row("...", Text(f"{there - max(0, most - 1):,} more", "dim"))
    return table


def status(run: RunView) -> RenderableType:
    """Return how everything is."""
    blocks = run.view.blocks
    parts: list[RenderableType] = [heading(run)]
    for table in (
        blocks_table(blocks, run.now), runtimes_table(blocks), services_table(blocks), door_table(run.view),
    ):  # fmt: skip
        parts += ["", table] if table.row_count else []
    return Group(*parts)
