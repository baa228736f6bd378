"""A day of requests to a model with 1 to 64 replicas: what growing and shrinking costs and saves, beside fixed numbers.

`python -m benchmarks day` replays a day on a simulated clock, in a minute. The number of replicas is decided by the
code that decides it in a block (`services.scaling`), the replica of each request by the front door's (`door.routing`,
`door.queue`). A replica has `requests_in_flight` at most, or any number, for comparison. Engines are simulated: a
replica has one GPU, takes a while to start, works on so many requests at once, and answers each in a time drawn by
chance. A replica that leaves finishes what it has.
"""

import heapq
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.library import machine, sides
from rhapsody_parsl.door.queue import Queue, Turn
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.services.scaling import Scaling
from rhapsody_parsl.wire.door import Route

HOURS, MOST = 24.0, 64
BUSIEST = 17.0
"""Requests per second at noon."""
ANSWER, START, LOOK = 30.0, 90.0, 1.0
"""Seconds: of an answer on average, of a replica's start, between two looks at the number."""
AT_ONCE, TARGET, IDLE = 16, 8, 300.0
"""Requests that a replica works on at once; `requests_per_replica` and `idle_timeout` of the service."""
ANY = 1_000_000
CAMPAIGNS = (7.5, 11.0, 21.0)
"""Hours at which a campaign of agents begins: a quarter of an hour with as many requests again as at noon."""


def rate(seconds: float) -> float:
    """Return the requests per second at a time of the day: a night, two busy half days, and campaigns."""
    hour = seconds / 3600
    busy = math.exp(-(((hour - 10.5) / 2.2) ** 2)) + math.exp(-(((hour - 15.5) / 2.6) ** 2))
    campaign = any(start <= hour < start + 0.25 for start in CAMPAIGNS)
    return BUSIEST * (0.02 + 0.9 * min(1.0, busy) + campaign)


def arrivals(hours: float, seed: int = 1) -> Iterator[float]:
    """Yield the times at which requests come, by chance at the day's rate."""
    dice, now, fastest = random.Random(seed), 0.0, 2 * BUSIEST  # noqa: S311 - an experiment
    while (now := now + dice.expovariate(fastest)) < hours * 3600:
        if dice.random() * fastest < rate(now * HOURS / hours):
            yield now


class Day(NamedTuple):
    """What became of a day.

    Attributes:
        asked: Requests that came.
        answered: Those that were answered.
        waited: Seconds that each waited for its beginning, sorted.
        took: Seconds from the question to the answer, sorted.
        gpu_hours: Of all replicas, starts and drains included.
        peak: The most replicas that were there at once.
    """

    asked: int
    answered: int
    waited: list[float]
    took: list[float]
    gpu_hours: float
    peak: int


class _Replica:
    """A simulated engine.

    Attributes:
        free: When each of its places is free, the first one first.
    """

    def __init__(self, name: str, since: float, ready: float) -> None:
        self.name, self.since, self.ready, self.leaving = name, since, ready, False
        self.free = [ready] * AT_ONCE


class Replay:
    """A day that is replayed.

    Args:
        least: Replicas at least; they are up when the day begins.
        most: Replicas at most.
        hours: How long the day is; a shorter one has the same shape.
        in_flight: `requests_in_flight` of the service.
    """

    def __init__(self, least: int, most: int, hours: float = HOURS, in_flight: int = AT_ONCE) -> None:
        self.now, self._hours, self._dice = 0.0, hours, random.Random(2)  # noqa: S311 - an experiment
        self._scaling, self._wanted = Scaling(least, most, TARGET, IDLE), least
        self._router, self._replicas, self._started = Router(), dict[str, _Replica](), 0
        self._queue, self._came = Queue(self._router, "model"), dict[Turn, float]()
        self._router.most, self._queue.most = in_flight, ANY
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._count = self._asked = self._peak = 0
        self._waited, self._took, self._held = list[float](), list[float](), 0.0
        for _ in range(least):
            self._start(0.0)

    def run(self) -> Day:
        """Replay it, and all that it leaves to do."""
        self._coming = arrivals(self._hours)
        self._next()
        self._at(0.0, self._look, None)
        while self._events:
            self.now, _, action, about = heapq.heappop(self._events)
            action(about)
        self._held += sum(self.now - replica.since for replica in self._replicas.values())
        waited, took = sorted(self._waited), sorted(self._took)
        return Day(self._asked, len(took), waited, took, self._held / 3600, self._peak)

    def _at(self, when: float, action: Callable[[Any], None], about: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action, about))

    # --- requests ------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if (when := next(self._coming, None)) is not None:
            self._at(when, self._ask, when)

    def _ask(self, came: float) -> None:
        self._asked += 1
        turn = Turn()
        if seat := self._queue.ask(turn, self.now):
            self._begin(seat, came)
        else:
            self._came[turn] = came
        self._next()

    def _serve(self) -> None:
        for turn, seat in self._queue.served(self.now):
            self._begin(seat, self._came.pop(turn))

    def _begin(self, seat: Seat, came: float) -> None:
        replica = self._replicas[seat.replica]
        begins = max(self.now, replica.free[0])
        ends = begins + self._dice.expovariate(1 / ANSWER)
        heapq.heapreplace(replica.free, ends)
        self._waited.append(begins - came)
        self._at(ends, self._answer, (seat, came))

    def _answer(self, about: tuple[Seat, float]) -> None:
        seat, came = about
        sides.check(seat.replica in self._replicas, "a replica left with a request")
        self._took.append(self.now - came)
        self._router.ended(seat)
        if self._replicas[seat.replica].leaving and not seat.held:
            self._end(seat.replica)
        self._serve()

    # --- replicas ------------------------------------------------------------------------------------------------

    def _look(self, _: None) -> None:
        pending = self._asked - len(self._took)
        self._wanted = self._scaling.wanted(self._wanted, pending, self.now)
        for _number in range(self._wanted - len(self._staying())):
            self._start(START)
        surplus = len(self._staying()) - self._wanted
        if surplus > 0:
            self._leave(surplus)
        if self.now < self._hours * 3600 or pending:
            self._at(self.now + LOOK, self._look, None)

    def _staying(self) -> list[_Replica]:
        return [replica for replica in self._replicas.values() if not replica.leaving]

    def _start(self, seconds: float) -> None:
        self._started += 1
        replica = _Replica(f"r{self._started}", self.now, self.now + seconds)
        self._replicas[replica.name] = replica
        self._peak = max(self._peak, len(self._replicas))
        if seconds:
            self._at(replica.ready, self._ready, None)
        else:
            self._ready(None)

    def _ready(self, _: None) -> None:
        self._router.update(Route(one.name, "") for one in self._staying() if one.ready <= self.now)
        self._serve()

    def _leave(self, count: int) -> None:
        """Those leave that have the least to do, as in a block: first what is not ready yet."""
        held = {seat.replica: seat.held for seat in self._router}
        staying = sorted(self._staying(), key=lambda one: (one.ready <= self.now, held.get(one.name, 0)))
        for replica in staying[:count]:
            replica.leaving = True
            if not held.get(replica.name):
                self._end(replica.name)
        self._ready(None)

    def _end(self, name: str) -> None:
        replica = self._replicas.pop(name)
        self._held += self.now - replica.since


def share_of(values: list[float], share: float) -> float:
    """Return the value below which a share of sorted values is."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def row(name: str, day: Day) -> list[str]:
    """Return a day as a line of the table."""
    return [
        name, f"{day.asked:,}", f"{day.asked - day.answered}", f"{day.gpu_hours:,.0f}", f"{day.peak}",
        f"{statistics.fmean(day.waited):.1f}", f"{share_of(day.waited, 0.95):.1f}", f"{day.waited[-1]:.0f}",
        f"{share_of(day.took, 0.95):.0f}",
    ]  # fmt: skip


def days(hours: float) -> Iterator[tuple[str, Day]]:
    """Yield the day with replicas that grow and shrink, with and without a limit of what each has, and with fixed ones.

    Of these there are the most, half of them, and so many as take as many GPU-hours.
    """
    scaled = Replay(1, MOST, hours).run()
    yield f"1 to {MOST}", scaled
    yield f"1 to {MOST}, all at once", Replay(1, MOST, hours, in_flight=ANY).run()
    same = max(1, round(scaled.gpu_hours / hours))
    for number in sorted({MOST, MOST // 2, same}, reverse=True):
        yield str(number), Replay(number, number, hours).run()


def main() -> None:
    """Replay, print and write."""
    parser = sides.parser(__doc__)
    arguments = parser.parse_args()
    began = time.perf_counter()
    found = dict(days(1.5 if arguments.quick else HOURS))
    report(found, time.perf_counter() - began, arguments.out)


def report(found: dict[str, Day], seconds: float, out: Path) -> None:
    """Print the table and write JSON."""
    columns = [
        "replicas", "requests", "dropped", "GPU-hours", "at most", "waited s", "p95", "longest", "p95 of the answer",
    ]  # fmt: skip
    machine.show("A day of requests (simulated)", columns, [row(name, day) for name, day in found.items()])
    told = {
        name: {
            **day._asdict(), "waited": [share_of(day.waited, share) for share in (0.5, 0.95, 0.99)],
            "took": [share_of(day.took, share) for share in (0.5, 0.95, 0.99)],
        }
        for name, day in found.items()
    }  # fmt: skip
    print(f"{len(found)} days in {seconds:.0f} s; written: {machine.write(out, 'day', told)}")


if __name__ == "__main__":
    main()
