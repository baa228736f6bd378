"""What many different specifications cost: ten thousand tasks with one each, beside as many with one for all.

`python -m benchmarks specs` has all tasks wait at once, then lets them run, and prints microseconds per task, each kind
of difference in a process of its own:

- the pilot's real core with nothing around it: tasks that are over in the moment they begin, on a hundred workers;
- the whole line: no-op calls straight to the executor, local workers on two cores, and the CPU of driver and pilot.

What is one for all is of the same kind: one walltime, one gang.
"""

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from benchmarks.library import machine, sides
from benchmarks.library.block import pilot
from benchmarks.library.queued import hold, nothing
from rhapsody_parsl import LocalRuntime, MPIRuntime
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.gc_tuning import tune
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from testing.nodes import make_node, make_spec, make_task
from testing.rates import drive
from testing.simulation import FakeRuntime

TASKS = 10_000
QUICK = 1_000
WORKERS = 100
LABELS = tuple(f"l{number}" for number in range(TASKS))

Specification = dict[str, Any]
KINDS: dict[str, tuple[Specification, Callable[[int], Specification]]] = {
    "priority": ({}, lambda n: {"priority": n}),
    "priority, falling": ({}, lambda n: {"priority": -n}),
    "walltime": ({"walltime": 1000}, lambda n: {"walltime": 1000 + n}),
    "memory": ({"memory": 0.5}, lambda n: {"memory": 0.5 + n * 1e-6}),
    "memory of all sizes": ({"memory": 0.5}, lambda n: {"memory": 0.5 + n * 7919 % TASKS / 2000}),
    "near": ({"near": "data"}, lambda n: {"near": f"data{n}"}),
    "label": ({"labels": ["l0"]}, lambda n: {"labels": [f"l{n}"]}),
    "1 or 2 cores": ({}, lambda n: {"cores": 1 + n % 2, "priority": n}),
}
"""What is one for all, and what each has of its own; on the whole line and in the core."""
CORE_KINDS = KINDS | {
    "name": ({}, lambda n: {"name": f"app{n}"}),
    "cores": ({}, lambda n: {"cores": 1 + n % 4, "priority": n}),
    "memory and cores, falling": (
        {"memory": 0.5},
        lambda n: {"memory": 0.5 + n * 7919 % TASKS / 2000, "cores": 1 + n % 4, "priority": -n},
    ),
    "scarce memory": ({"memory": 10}, lambda n: {"memory": 10 + n * 7919 % TASKS / 200}),
    "gang": ({"runtime": "mpi", "num_ranks": 8}, lambda n: {"runtime": "mpi", "num_ranks": 1 + n % 16, "priority": n}),
    "gangs of nodes, falling": (
        {"runtime": "mpi", "num_nodes": 6},
        lambda n: {"runtime": "mpi", "num_nodes": 1 + n % 12, "priority": -n},
    ),
    "gangs among others": (
        {},
        lambda n: {"runtime": "mpi", "num_nodes": 1 + n % 8, "walltime": n} if n % 10 == 0 else {"priority": n},
    ),
}


def measure_core(kind: str, _folder: str, tasks: int, each: int) -> sides.Turns:
    """Measure the core with one spec for all, or with one each."""
    tune()
    one, many = CORE_KINDS[kind.removeprefix("core ")]
    while True:
        nodes = [make_node(f"n{number}", cores=4, labels=LABELS) for number in range(WORKERS // 4)]
        core = Core(Runs(Ledger(nodes)), {"local": FakeRuntime(), "mpi": FakeRuntime()}, "local", {})
        core.runtime_ready("mpi", 0.0)
        specs = [make_spec(**({"name": "app"} | (many(number) if each else one))) for number in range(tasks)]
        waiting = [make_task(number, spec) for number, spec in enumerate(specs)]
        yield {"us": 1e6 / drive(core, waiting, 60.0)}


def measure_line(kind: str, folder: str, tasks: int, each: int) -> sides.Turns:
    """Measure the whole line with one spec for all, or with one each."""
    one, many = KINDS[kind]
    hosts = Path(folder) / "hosts"
    hosts.write_text(f"{socket.gethostname()} slots=2 labels={','.join(LABELS)}\n")
    os.environ["RHAPSODY_HOSTFILE"] = str(hosts)
    executor = sides.rhapsody([LocalRuntime(), MPIRuntime()])
    with sides.load(executor, folder):
        wait([executor.submit(nothing, {}, number) for number in range(500)])
        turn = 0
        while True:
            turn += 1
            gate = Path(folder) / f"gate{turn}"
            holding = [executor.submit(hold, {}, str(gate)) for _ in range(2)]
            driver, block = time.process_time(), _cpu()
            began = time.perf_counter()
            futures = [executor.submit(nothing, many(n) if each else one, n) for n in range(tasks)]
            submitted = time.perf_counter() - began
            while (executor.snapshot()["blocks"][0]["tasks"] or {}).get("queued", 0) < tasks:
                time.sleep(0.05)  # noqa: TID251 - until all wait
            began = time.perf_counter()
            gate.touch()
            wait(futures)
            spent = submitted + time.perf_counter() - began
            sides.check([future.result() for future in futures] == list(range(tasks)), "another number")
            wait(holding)
            costs = {"driver_us": time.process_time() - driver, "pilot_us": _cpu() - block, "us": spent}
            yield {key: seconds / tasks * 1e6 for key, seconds in costs.items()}


def _cpu() -> float:
    times = pilot().cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    others = {f"core {kind}": measure_core for kind in CORE_KINDS}
    arguments = sides.arguments(parser, measure_line, **others)
    tasks = QUICK if arguments.quick else TASKS
    core = {kind: _pair(f"core {kind}", tasks, arguments.repeat) for kind in CORE_KINDS}
    line = {kind: _pair(kind, tasks, arguments.repeat) for kind in KINDS}
    report(core, line, tasks, arguments.out)


def _pair(kind: str, tasks: int, repeat: int) -> dict[str, sides.Numbers]:
    """Return the medians of one for all and of one each, measured in turn."""
    with (
        sides.up("benchmarks.studies.specs", kind, [tasks, 0]) as one,
        sides.up("benchmarks.studies.specs", kind, [tasks, 1]) as each,
    ):
        runs = {"one": [], "each": []}  # type: sides.Runs
        for _ in range(repeat):
            runs["one"].append(one())
            runs["each"].append(each())
    return sides.medians(runs)


def report(
    core: dict[str, dict[str, sides.Numbers]], line: dict[str, dict[str, sides.Numbers]], tasks: int, out: Path
) -> None:
    """Print the tables; write JSON."""
    columns = ["what differs", "one for all", "one each", "ratio"]
    for title, pairs, key in (
        ("The core alone, µs", core, "us"),
        ("The whole line, µs", line, "us"),
        ("CPU of the driver, µs", line, "driver_us"),
        ("CPU of the pilot, µs", line, "pilot_us"),
    ):
        rows = [[kind, *_compared(pair, key)] for kind, pair in pairs.items()]
        machine.show(f"{title} a task; {tasks:,} wait at once, {os.cpu_count()} cores", columns, rows)
    print(f"written: {machine.write(out, 'specs', {'core': core, 'line': line})}")


def _compared(pair: dict[str, sides.Numbers], key: str) -> list[str]:
    one, each = pair["one"][key], pair["each"][key]
    return [f"{one:.1f}", f"{each:.1f}", f"{each / one if one else 0.0:.2f}"]


if __name__ == "__main__":
    main()
