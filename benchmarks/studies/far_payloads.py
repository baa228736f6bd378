"""What arguments and results cost on other hosts: bytes over the network, CPU, and time.

`python -m benchmarks far_payloads [--hosts 3]` starts a virtual cluster (root on Debian, with Slurm), and in it a block
over ssh: the driver and the pilot on one host, tasks on so many others. Says what each task brings to its host, by the
counters of the hosts' network interfaces:

- many tasks of one function with an equal argument of 1 MB and a number, and tasks each with an argument of its own;
- many tasks of a function that travels whole, of 20 kB, with a number;
- a lone task with an argument, or a result, of 10 MB.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from benchmarks.library import machine, sides
from benchmarks.library.block import pilot
from rhapsody_parsl import AllocationProvider, LocalRuntime, RhapsodyExecutor
from testing.processes import spent
from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings

LABEL = "far"
_FAR = {"labels": [LABEL]}
MEGABYTE = 1_000_000
_CORES = 2
_WITHIN = 300.0
_LONE = 20

Numbers = sides.Numbers


def size_of(data: bytes, _number: int = 0) -> int:
    """Return how long an argument is."""
    return len(data)


def made(size: int) -> bytes:
    """Return a result of a size."""
    return bytes(size)


def received() -> int:
    """Return the bytes that have come to this host. It travels whole."""
    from pathlib import Path  # noqa: PLC0415 - as above

    return int(Path("/sys/class/net/eth0/statistics/rx_bytes").read_text())


def long_function(size: int) -> Callable[[int], int]:
    """Return a function that travels whole, and is so long."""
    held = random.Random(1).randbytes(size)  # noqa: S311 - an experiment

    def function(number: int) -> int:
        return number + len(held)

    return function


class Block:
    """A block, and what its tasks cost.

    Args:
        executor: Its executor.
        hosts: Those where tasks run.
    """

    def __init__(self, executor: RhapsodyExecutor, hosts: Sequence[str]) -> None:
        self._executor, self._hosts = executor, hosts
        wait([executor.submit(received, _FAR) for _ in range(_CORES * len(hosts))])
        self._pilot = pilot().pid

    def many(self, calls: Sequence[tuple[Callable[..., Any], Sequence[Any]]]) -> Numbers:
        """Measure tasks that are submitted at once."""
        came, used, began = self._came(), spent(self._pilot)[0], time.perf_counter()
        futures = [self._executor.submit(function, _FAR, *args) for function, args in calls]
        for future in futures:
            sides.check(future.result(_WITHIN) > 0, "another size")
        seconds, used = time.perf_counter() - began, spent(self._pilot)[0] - used
        count = len(calls)
        return {"bytes": (self._came() - came) / count, "per_s": count / seconds, "pilot_ms": used / count * 1e3}

    def lone(self, function: Callable[..., Any], arguments: Sequence[Any]) -> float:
        """Measure tasks one after the other; return the median of their round trips, in ms."""
        taken = []
        for argument in arguments:
            began = time.perf_counter()
            self._executor.submit(function, _FAR, argument).result(_WITHIN)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken[len(taken) // 5 :]) * 1e3

    def _came(self) -> int:
        """Return the bytes that have come to all hosts."""
        asked = [self._executor.submit(received, {"labels": [host]}) for host in self._hosts]
        return sum(future.result(_WITHIN) for future in asked)


def measure(block: Block, tasks: int) -> dict[str, Numbers]:
    """Measure all, on the block's first host."""
    dice = random.Random(2)  # noqa: S311 - an experiment
    same, large = dice.randbytes(MEGABYTE), dice.randbytes(10 * MEGABYTE)
    called, few = long_function(20_000), max(10, tasks // 5)
    found = {
        "an equal argument of 1 MB": block.many([(size_of, (same, number)) for number in range(tasks)]),
        "arguments of 1 MB": block.many([(size_of, (dice.randbytes(MEGABYTE), 0)) for _ in range(few)]),
        "a function of 20 kB": block.many([(called, (number,)) for number in range(tasks)]),
        "nothing large": block.many([(size_of, (b"x", number)) for number in range(tasks)]),
    }
    lone = {
        "nothing": block.lone(size_of, [b"x"] * 10 * _LONE),
        "an argument of 10 MB": block.lone(size_of, [dice.randbytes(10 * MEGABYTE) for _ in range(_LONE)]),
        "an equal argument of 10 MB": block.lone(size_of, [large] * _LONE),
        "a result of 10 MB": block.lone(made, [10 * MEGABYTE] * _LONE),
    }
    return found | {name: {"ms": taken} for name, taken in lone.items()}


def run_block(folder: Path, hosts: Sequence[str], tasks: int) -> dict[str, Numbers]:
    """Run a block over this host and others, and measure."""
    first, *others = hosts
    listed = folder / "hosts"
    listed.write_text(f"{first}\n" + "".join(f"{host} slots={_CORES} labels={LABEL}\n" for host in others))
    os.environ["RHAPSODY_HOSTFILE"] = str(listed)
    executor = RhapsodyExecutor("far", AllocationProvider(), runtimes=[LocalRuntime()], node_launcher="ssh")
    with sides.load(executor, str(folder / "runinfo")):
        return measure(Block(executor, others), tasks)


def in_cluster(hosts: int, tasks: int) -> dict[str, Numbers]:
    """Have a virtual cluster, and measure there."""
    with Cluster(Settings(nodes=hosts + 1)) as cluster:
        folder = tempfile.mkdtemp(dir=cluster.folder)
        names = [host.name for host in cluster.nodes]
        words = [sys.executable, "-m", "benchmarks.studies.far_payloads", "--one", folder, str(tasks), *names]
        with cluster.nodes[0].start(*words, stdout=subprocess.PIPE) as process:
            said = process.communicate()[0]
        if process.returncode:
            raise SystemExit(f"the block left with exit code {process.returncode}")
        found: dict[str, Numbers] = json.loads(said.splitlines()[-1])
        return found


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    parser.add_argument("--hosts", type=int, default=3, help="where tasks run")
    parser.add_argument("--tasks", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.one:
        folder, tasks, *hosts = arguments.one
        print(json.dumps(run_block(Path(folder), hosts, int(tasks))))
        return
    count = 1 if arguments.quick else arguments.repeat
    runs = [in_cluster(arguments.hosts, arguments.tasks) for _ in range(count)]
    report(runs, arguments.hosts, arguments.out)


def report(runs: Sequence[dict[str, Numbers]], hosts: int, out: Path) -> None:
    """Print the tables; write JSON."""
    found = {
        name: {key: statistics.median(run[name][key] for run in runs) for key in row} for name, row in runs[0].items()
    }
    many = [
        [name, f"{row['bytes']:,.0f}", f"{row['per_s']:,.0f}", f"{row['pilot_ms']:.2f}"]
        for name, row in found.items()
        if "bytes" in row
    ]
    machine.show(f"Tasks on {hosts} other hosts", ["with", "bytes to a host", "tasks/s", "pilot's CPU, ms"], many)
    machine.show(
        "A lone task", ["with", "ms"], [[name, f"{row['ms']:.2f}"] for name, row in found.items() if "ms" in row]
    )
    print(f"written: {machine.write(out, 'far_payloads', {'medians': found, 'runs': runs, 'hosts': hosts})}")


if __name__ == "__main__":
    main()
