"""The sides of a comparison: executors by name, each measured in a process of its own, in alternation.

A side's `measure` is a generator: it starts its executor, and then each value it yields is one repetition. Sides that
need not start anew for each stay up, idle, while the others take their turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import parsl
from parsl import Config, HighThroughputExecutor, ThreadPoolExecutor
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import MPIExecutor
from parsl.executors.base import ParslExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from benchmarks.library import machine
from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor
from testing import leaks

BIN = Path(sys.executable).parent

Numbers = dict[str, float]
Runs = dict[str, list[Numbers]]
Turns = Generator[Numbers, None, None]
Measure = Callable[..., Turns]
"""Called with the side's name, a private folder, and the numbers of the plan."""


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


@contextmanager
def up(module: str, kind: str, numbers: Sequence[int]) -> Iterator[Callable[[], Numbers]]:
    """Have a fresh process for one side; yield what measures one repetition there, the first one with its start.

    Args:
        module: Whose `measure` is called, as `python -m` names it.
        kind: The side's name.
        numbers: What `measure` is given besides.
    """
    words = [sys.executable, "-m", module, "--one", kind, *map(str, numbers)]
    pipe, environment = subprocess.PIPE, {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=complaints, env=environment) as process,
    ):

        def turn() -> Numbers:
            with suppress(BrokenPipeError):
                os.write(cast(IO[bytes], process.stdin).fileno(), b"\n")
            for line in cast(IO[bytes], process.stdout):
                if line.startswith(b"{"):
                    result: Numbers = json.loads(line)
                    return result
            complaints.seek(0)
            raise SystemExit(f"{kind} failed:\n{complaints.read()[-3000:]}")

        yield turn


def apart(module: str, kind: str, *numbers: int) -> Numbers:
    """Measure one side once."""
    with up(module, kind, numbers) as turn:
        return turn()


def alternate(module: str, plan: Mapping[str, Sequence[int]], repeat: int, stay: bool = False) -> Runs:
    """Measure each side of the plan in turn, several times.

    Args:
        module: Whose `measure` is called, as `python -m` names it.
        plan: The numbers each side's measurement is given.
        repeat: How often.
        stay: Whether the sides stay up between their turns; else each turn starts anew.
    """
    runs: Runs = {kind: [] for kind in plan}
    turns: dict[str, Callable[[], Numbers]] = {}
    with ExitStack() as stack:
        for _ in range(repeat):
            for kind, numbers in plan.items():
                if not stay:
                    runs[kind].append(apart(module, kind, *numbers))
                    continue
                if kind not in turns:
                    turns[kind] = stack.enter_context(up(module, kind, numbers))
                runs[kind].append(turns[kind]())
    return runs


def medians(runs: Runs) -> dict[str, Numbers]:
    """Return the median of each number of each side."""
    return {kind: {key: statistics.median(run[key] for run in some) for key in some[0]} for kind, some in runs.items()}


def beside_htex(module: str, arguments: argparse.Namespace, *more: str) -> Runs:
    """Measure `--tasks` tasks a repetition of ours, of HighThroughputExecutor and of more sides; all stay up."""
    plan = {kind: [arguments.tasks] for kind in ("rhapsody-dragon", "htex", *more)}
    return alternate(module, plan, arguments.repeat, stay=True)


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


def arguments(made: argparse.ArgumentParser, measure: Measure, **others: Measure) -> argparse.Namespace:
    """Return what the command line says; never returns in the fresh process of a side, which measures instead.

    Args:
        made: The parser.
        measure: Of the sides.
        others: Of the sides that are measured by something else.
    """
    parsed = made.parse_args()
    if parsed.one:
        kind, *numbers = parsed.one
        _serve(others.get(kind, measure), kind, map(int, numbers))
        raise SystemExit
    parsed.repeat = 1 if parsed.quick else parsed.repeat
    return parsed


def _serve(measure: Measure, kind: str, numbers: Iterable[int]) -> None:
    """Print the numbers of one repetition for each line that comes in."""
    leaks.adopt_orphans()  # so that the block's processes are found below this one
    asked = os.fdopen(os.dup(0))
    with Path(os.devnull).open() as nothing:  # what we start might read ours: mpiexec does
        os.dup2(nothing.fileno(), 0)
    with tempfile.TemporaryDirectory() as folder, closing(measure(kind, folder, *numbers)) as turns:
        for _ in asked:
            print(json.dumps(next(turns)), flush=True)
