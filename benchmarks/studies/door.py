"""What the front door costs beside the engine's own address, and what its choice of a replica is worth.

`python -m benchmarks door` asks one stand-in engine in three ways, in turn: at its own address, through the block's
door, and through the driver's address. Then it simulates replicas with caches, on a clock of their own, under clients
that share the beginnings of their prompts, for four ways to choose: in turn, the least laden, llm-d's, and ours.
"""

import heapq
import http.client
import itertools
import json
import os
import random
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from parsl import python_app
from parsl.providers import LocalProvider

from benchmarks.library import machine, scored, sides
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.wire.door import Route
from testing.processes import processes_of, spent
from testing.streaming_openai import COMMAND

REQUESTS, TOKENS = 500, 5000
WAYS = ("engine", "door", "driver")


class Way(NamedTuple):
    """An address, its key, and the model's name there."""

    url: str
    key: str
    model: str


@python_app
def _found() -> tuple[str, str, str]:
    from rhapsody_parsl import service  # noqa: PLC0415 - the function travels without its module

    found = service("model")
    return found.url, found.secret, found.base_url


def measure(_kind: str, folder: str, requests: int, tokens: int) -> sides.Turns:
    """Measure each way: milliseconds a request, microseconds a token of a stream, and the door's CPU for both."""
    name = f"stand-in-{os.getpid()}"
    model = VLLMService("model", name, cores=0, server="command", executable=COMMAND)
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = RhapsodyExecutor("x", provider=provider, runtimes=[LocalRuntime()], services=[model])
    with sides.load(executor, folder):
        url, secret, door = _found().result()
        key = executor.openai_key
        ways = {"engine": Way(url, secret, name), "door": Way(door, key, "model"),
                "driver": Way(executor.openai_url(), key, "model")}  # fmt: skip
        (process,) = processes_of("rhapsody_parsl.door.process")
        while True:
            numbers: sides.Numbers = {}
            for what, ask, count in (("request", _request, requests), ("token", _token, tokens)):
                for label, way in ways.items():
                    before = spent(process.pid)[0]
                    numbers[f"{label} {what}"] = ask(way, count)
                    numbers[f"{label} {what}, CPU"] = 1e6 * (spent(process.pid)[0] - before) / count
            yield numbers


def _post(
    connection: http.client.HTTPConnection, way: Way, path: str, body: dict[str, object]
) -> http.client.HTTPResponse:
    headers = {"Authorization": f"Bearer {way.key}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1/{path}", json.dumps({"model": way.model, **body}), headers)
    answer = connection.getresponse()
    sides.check(answer.status == http.HTTPStatus.OK, f"HTTP {answer.status}")
    return answer


def _request(way: Way, count: int) -> float:
    """Return the milliseconds of a small request, the median."""
    connection, taken = http.client.HTTPConnection(urlsplit(way.url).netloc), list[float]()
    for _ in range(count):
        began = time.perf_counter()
        _post(connection, way, "embeddings", {"input": "x"}).read()
        taken.append(time.perf_counter() - began)
    connection.close()
    return 1e3 * statistics.median(taken)


def _token(way: Way, count: int) -> float:
    """Return the microseconds of a token, in a stream that comes as fast as it can."""
    connection = http.client.HTTPConnection(urlsplit(way.url).netloc)
    answer = _post(connection, way, "completions", {"prompt": "x", "stream": True, "max_tokens": count})
    answer.readline()
    began = time.perf_counter()
    sides.check(answer.read().count(b"data: {") >= count - 1, "tokens are lacking")
    connection.close()
    return 1e6 * (time.perf_counter() - began) / count


# --- the choice of a replica -------------------------------------------------------------------------------------

BLOCKS, CACHE, READ, SPEAK = 24, 200, 0.01, 0.2
"""Of a shared beginning; blocks that a replica keeps; seconds to read one; seconds that an answer takes, on average."""
PER_REPLICA, ANSWERS = 12, 400
"""Clients, and answers that are counted."""
Choose = Callable[["Load", tuple[int, ...]], Seat]


class _Asked(NamedTuple):
    """A request that a replica has: when it begins to read it, and when it has answered."""

    begins: float
    ends: float
    prompt: tuple[int, ...]


class Load:
    """Clients that ask again as soon as they have their answer; replicas read one prompt after the other.

    Args:
        replicas: How many.
        choose: The replica.
        groups: Of clients whose prompts begin alike; 0 when all are different.

    Attributes:
        dice: For what chance decides.
        hits: Blocks that were in a cache.
        read: Blocks that were not.
    """

    def __init__(self, replicas: int, choose: Choose, groups: int) -> None:
        self.router = Router()
        self.router.update(Route(f"r{number}", "") for number in range(replicas))
        self.seats = list(self.router)
        self.turn, self.hits, self.read = 0, 0, 0
        self._choose, self._groups = choose, groups
        self.dice, self._now = random.Random(1), 0.0  # noqa: S311 - an experiment
        self._caches: dict[str, OrderedDict[int, None]] = {seat.replica: OrderedDict() for seat in self.seats}
        self._free = dict.fromkeys(self._caches, 0.0)
        self._asked: dict[str, list[_Asked]] = {name: [] for name in self._caches}

    def standing(self, seat: Seat, prompt: tuple[int, ...]) -> scored.Standing:
        """Return what a replica says of itself when a prompt comes, without any delay."""
        cache, there = self._caches[seat.replica], [one for one in self._asked[seat.replica] if one.ends > self._now]
        self._asked[seat.replica] = there
        begun = [one for one in there if one.begins <= self._now]
        used = len({block for one in begun for block in one.prompt}) / CACHE
        matched = sum(1 for _ in itertools.takewhile(cache.__contains__, prompt))
        return scored.Standing(matched / len(prompt), min(1.0, used), len(there) - len(begun))

    def run(self) -> float:
        """Return the answers per second."""
        count = len(self.seats)
        ending: list[tuple[float, int, Seat]] = []
        for number in range(PER_REPLICA * count):
            self._ask(ending, 0.0, number)
        now, wanted = 0.0, ANSWERS * count
        for number in range(wanted):
            now, _, seat = heapq.heappop(ending)
            self.router.ended(seat)
            self._ask(ending, now, number + PER_REPLICA * count)
        return wanted / now

    def _ask(self, ending: list[tuple[float, int, Seat]], now: float, number: int) -> None:
        self._now = now
        group = self.dice.randrange(self._groups) if self._groups else -number - 1
        prompt = tuple(hash((group, block)) for block in range(BLOCKS))
        seat = self._choose(self, prompt)
        unread = self._unread(self._caches[seat.replica], prompt)
        begins = max(now, self._free[seat.replica])
        self._free[seat.replica] = begins + unread * READ
        ends = self._free[seat.replica] + self.dice.expovariate(1 / SPEAK)
        self._asked[seat.replica].append(_Asked(begins, ends, prompt))
        heapq.heappush(ending, (ends, number, seat))

    def _unread(self, cache: OrderedDict[int, None], prompt: tuple[int, ...]) -> int:
        unread = sum(block not in cache for block in prompt)
        self.hits, self.read = self.hits + len(prompt) - unread, self.read + unread
        for block in prompt:
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > CACHE:
            cache.popitem(last=False)
        return unread


def _in_turn(load: Load, _prompt: tuple[int, ...]) -> Seat:
    load.turn += 1
    seat = load.seats[load.turn % len(load.seats)]
    seat.held += 1
    return seat


def _least(load: Load, _prompt: tuple[int, ...]) -> Seat:
    return _seat(load.router.choose((), "", 0.0))


def _ours(load: Load, prompt: tuple[int, ...]) -> Seat:
    return _seat(load.router.choose(prompt, "", 0.0))


def _llm_d(load: Load, prompt: tuple[int, ...]) -> Seat:
    seat = load.seats[scored.highest([load.standing(seat, prompt) for seat in load.seats], load.dice)]
    seat.held += 1
    return seat


def _seat(seat: Seat | None) -> Seat:
    if seat is None:
        raise ValueError("no replica is there")
    return seat


CHOICES: dict[str, Choose] = {"in turn": _in_turn, "the least laden": _least, "llm-d's": _llm_d, "ours": _ours}
LOADS = ((4, 24), (16, 96), (4, 48), (4, 0))
"""Replicas, and how many beginnings the prompts share; the caches have no room for those of the third."""


def choices() -> Iterator[list[str]]:
    """Yield a row for each load and choice: answers per second, as a multiple of the first, and hits in caches."""
    for replicas, groups in LOADS:
        base = 0.0
        for name, choose in CHOICES.items():
            load = Load(replicas, choose, groups)
            rate = load.run()
            base = base or rate
            hits = load.hits / (load.hits + load.read)
            yield [
                f"{replicas} replicas, {groups or 'no'} shared",
                name,
                f"{rate:.1f}",
                f"{rate / base:.2f}",
                f"{hits:.0%}",
            ]


def scaling() -> float:
    """Return the answers per second of four replicas over four times those of one, with nothing shared."""
    one, four = (Load(count, _ours, 0).run() for count in (1, 4))
    return four / (4 * one)


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=5)
    arguments = sides.arguments(parser, measure)
    share = 5 if arguments.quick else 1
    runs = sides.alternate(
        "benchmarks.studies.door", {"all": (REQUESTS // share, TOKENS // share)}, arguments.repeat, stay=True
    )
    report(runs, arguments.out)


def report(runs: sides.Runs, out: Path) -> None:
    """Print the tables and write JSON."""
    (numbers,) = sides.medians(runs).values()
    kinds = {"request": "ms a request", "token": "µs a token"}
    cpu = {f"{kind}, CPU": f"µs of the door's CPU a {kind}" for kind in kinds}
    rows = [[way, *(f"{numbers[f'{way} {kind}']:.2f}" for kind in (kinds | cpu))] for way in WAYS]
    machine.show("Asked at", ["", *(kinds | cpu).values()], rows)
    chosen = list(choices())
    machine.show("A replica is chosen (simulated)", ["", "by", "answers/s", "of the first", "in the cache"], chosen)
    print(f"Four replicas answer {scaling():.2f} of four times as much as one (simulated, nothing shared)")
    file = machine.write(out, "door", {"medians": numbers, "runs": runs, "choices": chosen, "scaling": scaling()})
    print(f"written: {file}")


if __name__ == "__main__":
    main()
