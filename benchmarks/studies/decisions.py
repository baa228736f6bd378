"""What a decision costs in blocks of many nodes: gangs up to half the block wait beside single cores and GPU shares.

`python -m benchmarks decisions` runs the pilot's real core alone on a simulated clock. 200 specs come to 100, 1,000 and
4,000 nodes of 64 cores and 4 GPUs over time: gangs of whole nodes, tasks of one core, and shares of GPUs. Some ask for
a label that a quarter of the nodes carry, some have a walltime or a priority. More work comes than the block can do,
so that gangs wait. In smaller blocks, in which gangs need 64 nodes at most, all work waits from the start: it comes in
one message, before the first decision.

Each load runs under each order of waiting tasks. It prints the CPU time of all calls of the core per task, how many of
the cores are lent while work waits, and how long gangs wait. Where all work waits from the start, EASY as in the
textbook stands beside it: with exact walltimes, and with what the core learns, how long the longest task takes.

A last table has single tasks of one core come three times as fast as the first block can do them, so that ten thousand
wait: once with one specification for all, and once each has its own app, priority, walltime and memory.
"""

import heapq
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from benchmarks.library import machine, sides, textbook
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.gc_tuning import tune
from rhapsody_parsl.pilot.instructions import Feed
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.scheduling.travel import unpacked
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from testing.nodes import make_node, make_spec
from testing.simulation import FakeRuntime

EXACT = "easy, exact walltimes"
ORDERS = ("fifo", "easy", "fair", EXACT)
TEXTBOOK = ("textbook EASY, the longest for walltimes", "textbook EASY, exact walltimes")
GPUS = 4
QUEUED = ((32, 4, 32, 3300, 0), (200, 16, 64, 20_000, 0), (1000, 16, 64, 100_000, 0))
OVER_TIME = ((100, 64, 50, 40_000, 130), (1000, 64, 500, 100_000, 130), (4000, 64, 2000, 400_000, 130))
"""Loads: see the arguments of `Load`."""
SPECS, GANGS = 200, 60
MANY = (100, 64, 50, 40_000, 300)
OF_SINGLES = ("one for all", "one each")
"""The load of the last table, and the specifications of its tasks that are no gangs."""
SECONDS, LEAST, MOST = 60.0, 0.2, 1.8
"""That a task takes on average, and the least and the most in parts of it."""
BATCH = 8
OF_GANGS = 0.6
"""Part of all core-seconds that gangs take."""


class Load:
    """Tasks of 200 specs and when they come, the same for each seed.

    Args:
        nodes: Of the block.
        cores: Of each node.
        widest: Nodes of the widest gang.
        singles: How many tasks are no gangs.
        load: Work that comes, in percent of what the block can do; 0 has all of it come at once.
        seed: Of its dice.

    Attributes:
        batches: Times and the tasks that come then.
        seconds: How long each task takes, by number.
        cores: How many cores each has, by number.
        gangs: Numbers of the gangs.
    """

    def __init__(self, nodes: int, cores: int, *, widest: int, singles: int, load: int, seed: int = 1) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - it has to be the same again
        self.nodes, self.each = nodes, cores
        self.batches: list[tuple[float, list[Task]]] = []
        self.seconds: list[float] = []
        self.cores: list[int] = []
        self.gangs: set[int] = set()
        sizes = [round(math.exp(self._dice.uniform(0, math.log(widest)))) for _ in range(GANGS)]
        work = singles * SECONDS / (1 - OF_GANGS)
        self._until = work / (nodes * cores) * 100 / load if load else 0.0
        wide = [(size, encode_spec(self._gang(n, size))) for n, size in enumerate(sizes)]
        small = [encode_spec(self._single(n)) for n in range(SPECS - GANGS)]
        for number in range(round(work * OF_GANGS / (sum(sizes) / GANGS * cores * SECONDS))):
            size, spec = wide[number % GANGS]
            self.gangs.add(len(self.seconds))
            self._come(spec, 1, size * cores)
        for _ in range(singles // BATCH):
            self._come(self._dice.choice(small), BATCH, 1)
        self._dice.shuffle(self.batches)
        self.batches.sort(key=lambda batch: batch[0])
        if not load:
            self.batches = [(0.0, [task for _, tasks in self.batches for task in tasks])]

    def _gang(self, number: int, size: int) -> TaskSpec:
        return make_spec(f"gang{number}", runtime="mpi", num_nodes=size, priority=number % 3)

    def _single(self, number: int) -> TaskSpec:
        keys: dict[str, Any] = {"priority": number % 4}
        if number % 4 == 0:
            keys["gpus"] = (0.25, 0.5, 1)[number // 4 % 3]
        if number % 5 == 0:
            keys["labels"] = ["big"]
        if number % 7 == 0:
            keys["walltime"] = 1000 + number
        return make_spec(f"app{number}", **keys)

    def with_walltimes(self) -> "Load":
        """Have each task say as its walltime how long it takes."""
        for _, tasks in self.batches:
            tasks[:] = [Task(task.id, self._exact(task), b"") for task in tasks]
        return self

    def with_specs(self, *, each: bool) -> "Load":
        """Have tasks that are no gangs ask for one core: `each` with its own specification, or one for all."""
        for _, tasks in self.batches:
            tasks[:] = [
                task if task.id in self.gangs else Task(task.id, self._plain(task.id if each else 1), b"")
                for task in tasks
            ]
        return self

    def _plain(self, number: int) -> bytes:
        spec = make_spec(f"app{number}", cores=1)
        policy = msgspec.structs.replace(spec.policy, priority=number % 4 + number * 1e-6, walltime=10_000.0 + number)
        resources = msgspec.structs.replace(spec.resources, memory=0.5 + number * 7919 % 10_000 / 20_000)
        return encode_spec(msgspec.structs.replace(spec, policy=policy, resources=resources))

    def _exact(self, task: Task) -> bytes:
        spec = decode_spec(task.spec)
        policy = msgspec.structs.replace(spec.policy, walltime=self.seconds[task.id] + 0.001)
        return encode_spec(msgspec.structs.replace(spec, policy=policy))

    def _come(self, spec: bytes, count: int, cores: int) -> None:
        first = len(self.seconds)
        self.seconds += [self._dice.uniform(LEAST, MOST) * SECONDS for _ in range(count)]
        self.cores += [cores] * count
        tasks = [Task(number, spec, b"") for number in range(first, first + count)]
        self.batches.append((self._dice.uniform(0, self._until), tasks))


class Block:
    """The core of a block without processes; its workers start in no time.

    Attributes:
        spent: Seconds in the core.
    """

    def __init__(self, load: Load, scheduling: str = "fifo") -> None:
        labels = [("big",) if n % 4 == 0 else () for n in range(load.nodes)]
        made = [make_node(f"n{n}", load.each, GPUS, labels=carries) for n, carries in enumerate(labels)]
        self._core = Core(
            Runs(Ledger(made)),
            {"local": FakeRuntime(), "mpi": FakeRuntime()},
            "local",
            {},
            scheduling=unpacked(scheduling, 60.0),
        )
        self._core.runtime_ready("local", 0)
        self._core.runtime_ready("mpi", 0)
        self._load, self._all = load, load.nodes * load.each
        self.spent = 0.0
        self._now = self._busy = 0.0
        self._held = self._waiting = self._most = 0
        self._used = self._could = 0.0
        self._came: dict[int, float] = {}
        self._waits: list[float] = []
        self._ends: list[tuple[float, int, int]] = []

    def run(self) -> sides.Numbers:
        """Have all tasks come and end; return what it cost and how it went."""
        for at, action in self._events():
            self._pass(at)
            began = time.process_time()
            action()
            given = self._core.take()
            self._core.take_results()
            due = self._core.next_tick(self._now)
            self.spent += time.process_time() - began
            self._tick_at = math.inf if due is None else self._now + due
            for instruction in given:
                if isinstance(instruction, Feed):
                    self._begin(instruction)
        tasks = len(self._load.seconds)
        sides.check(self._core.idle, "tasks are left")
        return {
            "us": self.spent / tasks * 1e6,
            "tasks": tasks,
            "gangs": len(self._load.gangs),
            "utilisation": self._used / self._could,
            "wait": sum(self._waits) / len(self._waits),
            "waited": self._most,
        }

    def _events(self) -> Iterator[tuple[float, Callable[[], None]]]:
        batches = iter(self._load.batches)
        coming = next(batches, None)
        self._tick_at = math.inf
        while coming or self._ends:
            arrival = coming[0] if coming else math.inf
            end = self._ends[0][0] if self._ends else math.inf
            if self._tick_at < min(arrival, end):
                yield self._tick_at, partial(self._core.tick, self._tick_at)
            elif coming and arrival <= end:
                tasks = coming[1]
                self._came.update((task.id, arrival) for task in tasks if task.id in self._load.gangs)
                yield arrival, partial(self._core.submit, tasks, arrival)
                self._waiting += len(tasks)
                self._most = max(self._most, self._waiting)
                coming = next(batches, None)
            else:
                _, run, task = heapq.heappop(self._ends)
                result = [Result(task, RESULT, b"", self._load.seconds[task])]
                yield end, partial(self._core.done, run, result, end)
                self._held -= self._load.cores[task]

    def _pass(self, at: float) -> None:
        """Time passes: count what is lent of what could be, while work waits."""
        if self._waiting:
            self._could += (at - self._now) * self._all
            self._used += (at - self._now) * self._held
        self._now = at

    def _begin(self, feed: Feed) -> None:
        """A run has its tasks: each of them starts when those before it are over."""
        at = self._now
        for task in feed.tasks:
            self._waiting -= 1
            self._held += self._load.cores[task.id]
            at += self._load.seconds[task.id]
            heapq.heappush(self._ends, (at, feed.run.id, task.id))
            if (came := self._came.pop(task.id, None)) is not None:
                self._waits.append(self._now - came)


def measure(_kind: str, _folder: str, *load: int) -> sides.Turns:
    """Measure one load."""
    tune()
    nodes, cores, widest, singles, percent, seed, order = load
    while True:
        made = Load(nodes, cores, widest=widest, singles=singles, load=percent, seed=seed)
        name = ORDERS[order]
        yield Block(made.with_walltimes() if name == EXACT else made, name.partition(",")[0]).run()


def measure_specs(_kind: str, _folder: str, *load: int) -> sides.Turns:
    """Measure one load whose single tasks have one specification, or one each."""
    tune()
    nodes, cores, widest, singles, percent, seed, order, each = load
    while True:
        made = Load(nodes, cores, widest=widest, singles=singles, load=percent, seed=seed)
        yield Block(made.with_specs(each=bool(each)), ORDERS[order]).run()


def measure_textbook(_kind: str, _folder: str, *load: int) -> sides.Turns:
    """Measure one load in which all work waits from the start, under EASY with exact walltimes or one for all."""
    nodes, cores, widest, singles, _, seed, exact = load
    made = Load(nodes, cores, widest=widest, singles=singles, load=0, seed=seed)
    jobs: list[textbook.Job] = []
    for task in (task for _, tasks in made.batches for task in tasks):
        spec = decode_spec(task.spec)
        claim, seconds = 60.0 * spec.policy.priority, made.seconds[task.id]
        walltime = seconds if exact else MOST * SECONDS
        jobs.append(textbook.Job(claim, len(jobs), seconds, spec.resources.num_nodes, walltime))
    used, wait = textbook.play(nodes, cores, jobs)
    while True:
        yield {"us": 0.0, "tasks": len(jobs), "gangs": len(made.gangs), "utilisation": used, "wait": wait}


def main() -> None:
    """Run all loads, print and write."""
    parser = sides.parser(__doc__, repeat=1)
    parser.add_argument("--seed", type=int, default=1, help="of the dice that make the loads; default: 1")
    parser.add_argument("--nodes", type=int, nargs="*", default=[], help="only the loads of so many nodes")
    arguments = sides.arguments(parser, measure, textbook=measure_textbook, specs=measure_specs)
    result: dict[str, Any] = {}
    for title, loads in (("come over time", OVER_TIME), ("all wait at once", QUEUED)):
        wanted = [load for load in loads if load[0] in arguments.nodes or not arguments.nodes]
        some = [(*load, arguments.seed) for load in (wanted[:1] if arguments.quick else wanted)]
        orders = [n for n, name in enumerate(ORDERS) if name != EXACT or loads is QUEUED]
        rows = {(load[0], ORDERS[n]): _run((*load, n), arguments.repeat) for n in orders for load in some}
        if not rows:
            continue
        if loads is QUEUED:
            rows |= {(load[0], name): _textbook((*load, n)) for n, name in enumerate(TEXTBOOK) for load in some}
        machine.show(f"The core alone, {title}; {os.cpu_count()} cores here", COLUMNS, _table(rows))
        result[title] = {f"{nodes} {name}": row for (nodes, name), row in rows.items()}
    result["specifications"] = _specifications((*MANY, arguments.seed), arguments.repeat)
    print(f"written: {machine.write(arguments.out, 'decisions', result)}")


def _specifications(load: tuple[int, ...], repeat: int) -> dict[str, Any]:
    """Run a load with one specification for its single tasks and with one each; print the table and return it."""
    orders = [n for n, name in enumerate(ORDERS) if name != EXACT]
    rows = {
        (ORDERS[n], of): _run((*load, n, each), repeat, "specs") for n in orders for each, of in enumerate(OF_SINGLES)
    }
    table = [
        [order, of, f"{row['tasks']:,.0f}", f"{row['waited']:,.0f}", f"{row['us']:.1f}",
         f"{row['us'] / rows[order, OF_SINGLES[0]]['us']:.2f}", f"{row['utilisation']:.3f}", f"{row['wait']:.0f}"]
        for (order, of), row in rows.items()
    ]  # fmt: skip
    columns = ["order", "specifications", "tasks", "most that waited", *COLUMNS[4:]]
    machine.show(f"The core alone, {load[0]} nodes, single tasks of one core come over time", columns, table)
    return {f"{order}, {of}": row for (order, of), row in rows.items()}


def _run(load: tuple[int, ...], repeat: int, kind: str = "measure") -> sides.Numbers:
    with sides.up("benchmarks.studies.decisions", kind, list(load)) as one:
        return sides.medians({"one": [one() for _ in range(repeat)]})["one"]


def _textbook(load: tuple[int, ...]) -> sides.Numbers:
    with sides.up("benchmarks.studies.decisions", "textbook", list(load)) as one:
        return one()


COLUMNS = (
    "order", "nodes", "tasks", "gangs", "µs per task", "ratio", "lent while work waits", "mean wait of gangs, s",
)  # fmt: skip


def _table(rows: dict[tuple[int, str], sides.Numbers]) -> list[list[str]]:
    least = min(row["us"] for row in rows.values() if row["us"])
    return [
        [name, f"{nodes:,}", f"{row['tasks']:,.0f}", f"{row['gangs']:.0f}", f"{row['us']:.1f}",
         f"{row['us'] / least:.2f}", f"{row['utilisation']:.3f}", f"{row['wait']:.0f}"]
        for (nodes, name), row in rows.items()
    ]  # fmt: skip


if __name__ == "__main__":
    main()
