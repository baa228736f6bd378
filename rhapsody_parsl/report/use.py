"""How much each node worked: a strip for its cores, its memory and each of its GPUs, and the sums as a table."""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from rhapsody_parsl.record.run import RunRecord, UseRecord
from rhapsody_parsl.report.series import BINS, Bins
from rhapsody_parsl.report.tables import Row

__all__ = ("nodes", "strips")

_UNKNOWN = 255
_FULL = 200
"""A value is a byte: so many are the whole."""
_MOST_ROWS = 500


class _Span(NamedTuple):
    """A node's use, and until when it was so."""

    use: UseRecord
    until: float

    @property
    def seconds(self) -> float:
        return self.until - self.use.at


def _by_node(run: RunRecord) -> dict[tuple[str, str], list[_Span]]:
    """Return for each node of each block how much it worked, in order."""
    told: defaultdict[tuple[str, str], list[UseRecord]] = defaultdict(list)
    for use in run.use:
        told[use.block, use.node].append(use)
    left = {block.id: block.left or run.ended for block in run.blocks}
    return {
        key: [_Span(use, max(use.at, until)) for use, until in zip(uses, _ends(uses, left[key[0]]), strict=True)]
        for key, uses in told.items()
    }


def _ends(uses: Sequence[UseRecord], last: float) -> list[float]:
    return [*(use.at for use in uses[1:]), last]


def strips(run: RunRecord) -> dict[str, Any]:
    """Return a row of bytes for cores and memory of each node and for each GPU, a byte for each part of the run.

    A full byte of memory is the most that any node used, in GB under `memory`.
    """
    bins, rows, values = Bins(run.began, run.ended), [], bytearray()
    most = max((use.memory for use in run.use), default=0.0)
    for (block, node), spans in _by_node(run).items():
        name = f"{node} (block {block})" if len(run.blocks) > 1 else node
        for kind, of in _measures(spans, most):
            rows.append([name, kind])
            values += _strip(bins, spans, of)
    return {"rows": rows, "bins": BINS, "full": _FULL, "memory": most, "values": base64.b64encode(values).decode()}


def _measures(spans: Sequence[_Span], most: float) -> Iterator[tuple[str, Callable[[UseRecord], float]]]:
    yield "CPU", lambda use: use.cpu
    if most:
        yield "memory", lambda use: use.memory / most
    for number in range(max(len(span.use.gpus) for span in spans)):
        yield f"GPU {number}", partial(_gpu, number)


def _gpu(number: int, use: UseRecord) -> float:
    return use.gpus[number][0] if number < len(use.gpus) else 0.0


def _strip(bins: Bins, spans: Sequence[_Span], of: Callable[[UseRecord], float]) -> bytes:
    worked, known = bins.empty(), bins.empty()
    for span in spans:
        bins.spread(worked, span.use.at, span.until, of(span.use))
        bins.spread(known, span.use.at, span.until, 1.0)
    return bytes(
        round(_FULL * min(1.0, work / there)) if there > 0 else _UNKNOWN
        for work, there in zip(worked, known, strict=True)
    )


def nodes(run: RunRecord) -> list[Row]:
    """Return a row for each node, the one that worked most first."""
    rows = [_sums(block, node, spans) for (block, node), spans in _by_node(run).items()]
    return sorted(rows, key=lambda row: -row["CPU %"])[:_MOST_ROWS]


def _sums(block: str, node: str, spans: Sequence[_Span]) -> Row:
    uses = [span.use for span in spans]
    gpus = [gpu for use in uses for gpu in use.gpus]
    return {
        "node": node,
        "block": block,
        "CPU %": _mean(spans, lambda use: use.cpu),
        "most CPU %": 100 * max(use.cpu for use in uses),
        "most memory GB": max(use.memory for use in uses),
        "GPU %": _mean(spans, _of_gpus) if gpus else None,
        "most GPU memory GB": max(memory for _, memory in gpus) if gpus else None,
    }


def _mean(spans: Sequence[_Span], of: Callable[[UseRecord], float]) -> float:
    seconds = sum(span.seconds for span in spans)
    return 100 * sum(of(span.use) * span.seconds for span in spans) / seconds if seconds else 0.0


def _of_gpus(use: UseRecord) -> float:
    return sum(busy for busy, _ in use.gpus) / max(1, len(use.gpus))
