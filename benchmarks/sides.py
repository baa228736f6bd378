"""The sides of a comparison: executors by name, each measured in a process of its own, in alternation."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import parsl
from parsl import Config, HighThroughputExecutor, ThreadPoolExecutor
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import MPIExecutor
from parsl.executors.base import ParslExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from benchmarks import machine
from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor
from testing import leaks

BIN = Path(sys.executable).parent

Numbers = dict[str, float]
Runs = dict[str, list[Numbers]]


def provider(nodefile: str = "") -> LocalProvider:
    """Return one block; Parsl's own executors find their worker command on PATH and their nodes in a PBS node file."""
    init = f"export PATH={BIN}:$PATH"
    if nodefile:
        Path(nodefile).write_text("localhost\n")
        init += f"; export PBS_NODEFILE={nodefile}"
    return LocalProvider(init_blocks=1, max_blocks=1, worker_init=init, launcher=SimpleLauncher())


def rhapsody(runtimes: Sequence[Any], blocks: int = 1, cores: int = 2) -> RhapsodyExecutor:
    """Return our executor with local blocks."""
    local = LocalProvider(init_blocks=blocks, max_blocks=blocks)
    return RhapsodyExecutor("x", provider=local, runtimes=list(runtimes), cores_per_node=cores)


def executor(kind: str, folder: str) -> ParslExecutor:
    """Return the executor of a kind, with two workers."""
    match kind:
        case "rhapsody-dragon":
            return rhapsody([DragonRuntime()])
        case "rhapsody-mpi":
            return rhapsody([MPIRuntime()])
        case "htex":
            return HighThroughputExecutor(label="x", max_workers_per_node=2, provider=provider())
        case "mpiexecutor":
            nodes = provider(f"{folder}/nodes")
            return MPIExecutor(label="x", mpi_launcher="mpiexec", max_workers_per_block=1, provider=nodes)
        case _:
            return ThreadPoolExecutor(label="x", max_threads=2)


def load(side: ParslExecutor, folder: str) -> DataFlowKernel:
    """Load Parsl with one executor, logging off; a context manager."""
    return parsl.load(
        Config(executors=[side], strategy="none", usage_tracking=0, initialize_logging=False, run_dir=folder)
    )


def check(right: bool, what: str) -> None:
    """Stop when a result is wrong: then no number counts.

    Raises:
        ValueError: It is wrong.
    """
    if not right:
        raise ValueError(f"wrong result, so that no number counts: {what}")


def apart(module: str, kind: str, *numbers: int) -> Numbers:
    """Measure one side in a fresh process."""
    words = [sys.executable, "-m", module, "--one", kind, *map(str, numbers)]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    result: Numbers = json.loads(done.stdout.splitlines()[-1])
    return result


def alternate(module: str, plan: Mapping[str, Sequence[int]], repeat: int) -> Runs:
    """Measure each side of the plan in turn, several times.

    Args:
        module: Whose `measure` is called, as `python -m` names it.
        plan: The numbers each side's measurement is given.
        repeat: How often.
    """
    runs: Runs = {kind: [] for kind in plan}
    for _ in range(repeat):
        for kind, numbers in plan.items():
            runs[kind].append(apart(module, kind, *numbers))
    return runs


def medians(runs: Runs) -> dict[str, Numbers]:
    """Return the median of each number of each side."""
    return {kind: {key: statistics.median(run[key] for run in some) for key in some[0]} for kind, some in runs.items()}


def show_rates(title: str, medians: Mapping[str, Numbers]) -> float:
    """Print tasks per second of each side; return how many times HighThroughputExecutor's rate is ours."""
    ratio = medians["rhapsody-dragon"]["per_s"] / medians["htex"]["per_s"]
    rows = [[kind, f"{numbers['per_s']:,.0f}"] for kind, numbers in medians.items()]
    machine.show(f"{title}: {ratio:.1f} x", ["executor", "tasks/s"], rows)
    return ratio


def options(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="less of everything, for a look")
    made.add_argument("--out", type=Path, default=Path("benchmark-output"))
    return made


def parser(about: str | None, repeat: int = 5) -> argparse.ArgumentParser:
    """Return a parser with what every comparison takes."""
    made = options(about)
    made.add_argument("--repeat", type=int, default=repeat)
    made.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    return made


def one(words: Sequence[str], measure: Callable[..., Numbers]) -> None:
    """Be the fresh process: measure one side and print its numbers."""
    leaks.adopt_orphans()  # so that the block's processes are found below this one
    kind, *numbers = words
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(kind, folder, *map(int, numbers))))
