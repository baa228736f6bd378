"""Pictures made of letters: bars of what is lent, throughput as a line, a character per node. Pure."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from rich.text import Text

from rhapsody_parsl.cli.figures import NodeUse

__all__ = ("bar", "nodes_picture", "sparkline")

_PALETTE = "green", "blue", "magenta", "cyan", "yellow", "red"
_LEVELS = " ▁▂▃▄▅▆▇█"
_HIGHEST = len(_LEVELS) - 1
_MOST_NODE_LINES = 3
"""Of the picture with a character per node; of a larger block it is told how many nodes are how much in use."""
_CLASSES = ("idle", 0.0), ("up to half", 0.5), ("over half", 0.999), ("full", 1.0)
_TITLE = 7
"""Columns of what stands before a picture."""


def sparkline(values: Sequence[float]) -> str:
    """Return numbers as a line of bars, the largest the highest."""
    most = max(values, default=0.0)
    return "".join(_LEVELS[round(value / most * _HIGHEST)] if most else _LEVELS[0] for value in values)


def bar(title: str, held: Mapping[str, int], there: int, width: int) -> Text:
    """Return a bar of something, in the colours of who holds it.

    Args:
        title: What it is.
        held: How much of it, by who holds it.
        there: How much there is.
        width: Columns of the screen.
    """
    text = Text(f"{title:{_TITLE}}", no_wrap=True, overflow="ellipsis")
    cells, drawn = max(10, width // 2 - 22), 0
    for upto, colour in zip(accumulate(held.values()), _PALETTE, strict=False):
        end = round(cells * min(there, upto) / there) if there else 0
        text.append("█" * (end - drawn), colour)
        drawn = end
    text.append("░" * (cells - drawn) + f" {sum(held.values()):,}/{there:,}", "dim")
    for (name, count), colour in zip(held.items(), _PALETTE, strict=False):
        text.append(f"  {name} {count:,}" if count else "", colour)
    return text


def nodes_picture(uses: Sequence[NodeUse], width: int) -> list[Text]:
    """Return a character per node, as high as its cores are lent, and one as high as they work.

    Of a block that is too large for that: how many nodes are how much in use.
    """
    if len(uses) < 2:  # noqa: PLR2004 - of one node the bars tell all
        return []
    lent = [None if use.lost else use.lent / use.cores if use.cores else 0.0 for use in uses]
    lines = _picture("nodes", lent, width)
    if any(use.cpu is not None for use in uses):
        lines += _picture("CPU", [None if use.lost else use.cpu or 0.0 for use in uses], width)
    return lines


def _picture(title: str, shares: Sequence[float | None], width: int) -> list[Text]:
    """Return a character per node; None is one that is lost."""
    cells = width - _TITLE
    if len(shares) > _MOST_NODE_LINES * cells:
        return [_classes(title, shares)]
    lines = [Text.assemble(*map(_cell, shares[start : start + cells])) for start in range(0, len(shares), cells)]
    titles = [title, *([""] * (len(lines) - 1))]
    return [Text(f"{title:{_TITLE}}").append_text(line) for title, line in zip(titles, lines, strict=True)]


def _cell(share: float | None) -> tuple[str, str]:
    if share is None:
        return "x", "red"
    if not share:
        return "·", "dim"
    return _LEVELS[max(1, round(share * _HIGHEST))], "green"


def _classes(title: str, all_shares: Sequence[float | None]) -> Text:
    shares = [share for share in all_shares if share is not None]
    counts, below = list[str](), -1.0
    for name, upto in _CLASSES:
        counts.append(f"{sum(below < share <= upto for share in shares):,} {name}")
        below = upto
    lost = len(all_shares) - len(shares)
    return Text(f"{title:{_TITLE}}{', '.join(counts)}" + (f", {lost} lost" if lost else ""))
