"""The requests of a run: those of apps, which are tasks, and those that came to a front door, told alike."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from rhapsody_parsl.record.run import RequestRecord, RunRecord, TaskRecord
from rhapsody_parsl.report.series import Bins
from rhapsody_parsl.report.spread import grouped, percentile
from rhapsody_parsl.wire.door import FRONT_DOOR
from rhapsody_parsl.wire.times import RequestTimes

__all__ = ("APPS", "Request", "latencies", "requests", "services", "slowest", "tokens", "under_way")

APPS = "apps"
_NOTHING = RequestTimes(0.0)
_MOST_SLOW = 20
_PARTS = {"p50": 0.5, "p99": 0.99}
_MOST_LINES = 3
"""Services whose latencies are drawn."""
_FEW = 60
"""Parts of the time: so that requests of several are in each."""


class Request(NamedTuple):
    """A request.

    Attributes:
        service: Whom it asked.
        by: `APPS` or `FRONT_DOOR`.
        who: Name of the app, or of the key; "" for the executor's own key.
        came: When it was submitted or came.
        ended: When it had ended.
        outcome: How.
        failure: With what it failed, or "".
        words: What that said.
        times: What befell it in the service; `asked` is 0 where no replica had it.
        node: Where that replica was, as far as it is known.
    """

    service: str
    by: str
    who: str
    came: float
    ended: float
    outcome: str
    failure: str
    words: str
    times: RequestTimes
    node: str

    @property
    def seconds(self) -> float:
        """Seconds from when it came to its end."""
        return self.ended - self.came

    @property
    def waited(self) -> float:
        """Seconds until a replica had it."""
        return max(0.0, (self.times.asked or self.ended) - self.came)


def requests(run: RunRecord) -> list[Request]:
    """Return all requests to services."""
    of_apps = (_of_app(task) for task in run.tasks if task.service)
    return [*of_apps, *(_at_the_door(request) for request in run.requests)]


def _of_app(task: TaskRecord) -> Request:
    times, came = task.request or _NOTHING, task.submitted or task.started or task.ended
    return Request(
        task.service, APPS, task.app, came, task.ended, task.outcome, task.failure, task.words, times, ""
    )  # fmt: skip


def _at_the_door(of: RequestRecord) -> Request:
    times = of.request or _NOTHING
    return Request(
        of.service, FRONT_DOOR, of.key, of.came, of.ended, of.outcome, of.failure, of.words, times, of.node
    )  # fmt: skip


# --- tables ----------------------------------------------------------------------------------------------------------


def services(run: RunRecord) -> list[dict[str, Any]]:
    """Return a row for each service that was there or was asked, by apps and at the front door each."""
    asked = grouped(requests(run), lambda request: (request.service, request.by))
    names = dict.fromkeys([*(name for name, _ in asked if name), *(moment.name for moment in run.services)])
    return [
        _row(run, name, by, asked.get((name, by), []))
        for name in names
        for by in (APPS, FRONT_DOOR)
        if (name, by) in asked or (by == APPS and (name, FRONT_DOOR) not in asked)
    ]


def _row(run: RunRecord, name: str, by: str, asked: Sequence[Request]) -> dict[str, Any]:
    ran = [request for request in asked if request.times.asked]
    span = max((r.ended for r in ran), default=0.0) - min((r.times.asked for r in ran), default=0.0)
    sums = Counter[str]()
    for request in ran:
        sums.update(prompt=request.times.prompt, tokens=request.times.tokens)
    tokens = sums["tokens"]
    return {
        "service": name, **_life(run, name), "asked by": by if asked else "nobody",
        "requests": len(asked), "no answer": sum(request.outcome != "done" for request in asked),
        "per s": len(ran) / span if span > 0 else 0.0,
        **_ends("wait", [request.waited for request in ran]),
        **_ends("first", [request.times.first for request in ran if request.times.first]),
        **_ends("answer", [request.ended - request.times.asked for request in ran if request.outcome == "done"]),
        "prompt": sums["prompt"] or None, "tokens": tokens or None,
        "tokens/s": tokens / span if tokens and span > 0 else None,
    }  # fmt: skip


def _ends(what: str, values: Sequence[float]) -> dict[str, float | None]:
    """Return the middle of values, and their upper end."""
    ordered = sorted(values)
    return {f"{what} {name} s": percentile(ordered, part) if ordered else None for name, part in _PARTS.items()}


def _life(run: RunRecord, name: str) -> dict[str, Any]:
    """Return how a service was at last, when it could first be asked, and how many replicas answered at most."""
    moments = [moment for moment in run.services if moment.name == name]
    ready = [moment.at - run.began for moment in moments if moment.ready]
    return {
        "state": moments[-1].state if moments else None, "ready s": min(ready, default=None),
        "replicas": max((moment.ready for moment in moments), default=None),
    }  # fmt: skip


def slowest(run: RunRecord) -> list[dict[str, Any]]:
    """Return the requests that took longest from when they came to their end."""
    slow = sorted(requests(run), key=lambda request: -request.seconds)[:_MOST_SLOW]
    return [
        {
            "service": each.service, "asked by": each.by, "app or key": each.who, "outcome": each.outcome,
            "came s": each.came - run.began, "seconds": each.seconds, "waited s": each.waited,
            "first token s": each.times.first or None, "prompt tokens": each.times.prompt or None,
            "tokens": each.times.tokens or None, "replica": each.times.replica, "node": each.node,
        }
        for each in slow
    ]  # fmt: skip


# --- over time -------------------------------------------------------------------------------------------------------


def under_way(asked: Sequence[Request], bins: Bins) -> dict[str, list[float]]:
    """Return how many requests replicas had, and how many waited for one, by service."""
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for request in (request for request in asked if request.service):
        if begun := request.times.asked:
            bins.spread(layers[request.service], begun, request.ended, 1)
        until = begun or request.ended
        if until - request.came > bins.width / 100:
            bins.spread(layers[f"{request.service}, waiting"], request.came, until, 1)
    return dict(layers)


def tokens(asked: Sequence[Request], bins: Bins) -> dict[str, list[float]]:
    """Return how many tokens came per second, by service; those of an answer come one after the other."""
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for request in asked:
        if count := request.times.tokens:
            start = request.times.asked + request.times.first
            end = max(request.ended, start + bins.width / 100)
            bins.spread(layers[request.service], start, end, count / (end - start))
    return dict(layers)


def latencies(run: RunRecord, asked: Sequence[Request]) -> dict[str, list[float | None]]:
    """Return how long answers took that ended in each part of the time; None where none did."""
    bins = Bins(run.began, run.ended, _FEW)
    answered = grouped((each for each in asked if each.outcome == "done"), lambda request: request.service)
    lines: dict[str, list[float | None]] = {}
    for name in sorted(answered, key=lambda name: -len(answered[name]))[:_MOST_LINES]:
        ended = grouped(answered[name], lambda request: bins.at(request.ended))
        spans = [sorted(request.seconds for request in ended.get(number, ())) for number in range(bins.count)]
        for word, part in _PARTS.items():
            lines[f"{name} {word}"] = [percentile(each, part) if each else None for each in spans]
    return lines
