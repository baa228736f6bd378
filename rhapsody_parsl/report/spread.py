"""How values are spread, and what belongs together."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

__all__ = ("grouped", "percentile", "spread")

T = TypeVar("T")


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which so much of a sorted sequence is; 0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def spread(values: Iterable[float], unit: str = "s") -> dict[str, float]:
    """Return the middle of values, their upper ends, and the largest.

    Args:
        values: They need no order.
        unit: Of them, for the names.
    """
    ordered = sorted(values)
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {
        **{f"{name} {unit}": percentile(ordered, part) for name, part in parts.items()},
        f"most {unit}": ordered[-1] if ordered else 0.0,
    }


def grouped(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Return items by a key, in their order."""
    groups: defaultdict[Any, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
