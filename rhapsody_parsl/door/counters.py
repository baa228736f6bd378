"""What the door counts, and how it tells that: text as Prometheus reads it."""

from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ("Counters",)

_BOUNDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
_PREFIX = "rhapsody_door"


class _Histogram:
    def __init__(self) -> None:
        self.buckets, self.sum, self.count = [0] * len(_BOUNDS), 0.0, 0

    def add(self, value: float) -> None:
        self.sum += value
        self.count += 1
        for index, bound in enumerate(_BOUNDS):
            self.buckets[index] += value <= bound


class Counters:
    """The counters of a door since its process began."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, int]] = Counter()
        self._retried: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self._first_byte: dict[str, _Histogram] = {}

    def ended(self, model: str, status: int) -> None:
        """A request was answered."""
        self._ended[model, status] += 1

    def retried(self, model: str) -> None:
        """A replica died under a request, and another one is asked."""
        self._retried[model] += 1

    def left(self, model: str) -> None:
        """A client went before its answer was complete."""
        self._left[model] += 1

    def first_byte(self, model: str, seconds: float) -> None:
        """The first byte of an answer went out."""
        self._first_byte.setdefault(model, _Histogram()).add(seconds)

    def text(self, held: Mapping[str, int], waiting: Mapping[str, int]) -> str:
        """Return all, and what is going on now.

        Args:
            held: How many requests each replica has.
            waiting: How many wait for a replica, by model.
        """
        lines = [
            *_family("requests_total", "counter", "Requests that were answered.", (
                (f'model="{model}",status="{status}"', count) for (model, status), count in self._ended.items()
            )),
            *_family("retries_total", "counter", "Requests that another replica was asked.", _by_model(self._retried)),
            *_family("left_total", "counter", "Clients that went before their answer.", _by_model(self._left)),
            *_family("requests_held", "gauge", "Requests that a replica has.", (
                (f'replica="{replica.partition("/")[0]}"', count) for replica, count in held.items()
            )),
            *_family("requests_waiting", "gauge", "Requests that wait for a replica.", _by_model(waiting)),
            *self._latencies(),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _latencies(self) -> list[str]:
        name = f"{_PREFIX}_first_byte_seconds"
        lines = [f"# HELP {name} Seconds from a request to its first byte.", f"# TYPE {name} histogram"]
        for model, seen in self._first_byte.items():
            label = f'model="{model}"'
            for bound, count in zip(_BOUNDS, seen.buckets, strict=True):
                lines.append(f'{name}_bucket{{{label},le="{bound:g}"}} {count}')
            lines.append(f'{name}_bucket{{{label},le="+Inf"}} {seen.count}')
            lines += [f"{name}_sum{{{label}}} {seen.sum:.6f}", f"{name}_count{{{label}}} {seen.count}"]
        return lines


def _by_model(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return ((f'model="{model}"', count) for model, count in counts.items())


def _family(name: str, kind: str, about: str, values: Iterable[tuple[str, int]]) -> list[str]:
    name = f"{_PREFIX}_{name}"
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *(f"{name}{{{labels}}} {n}" for labels, n in values)]
