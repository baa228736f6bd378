"""The MPI functions that the integration tests send, and the block they run in."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import parsl
from parsl import Config
from parsl.providers import LocalProvider

from rhapsody_parsl import MPI, MPIRuntime, RhapsodyExecutor, annotate

TIMEOUT = 60
HUNG = 10  # seconds in which a hung gang must be over, on a busy machine


def loaded(folder: Path, **options: Any) -> Any:
    runtimes = options.pop("runtimes", [MPIRuntime()])
    executor = RhapsodyExecutor(label="mpi", runtimes=runtimes, **{"cores_per_node": 4, **options})
    return parsl.load(Config(executors=[executor], run_dir=str(folder), initialize_logging=False))


def openmpi_provider() -> LocalProvider:
    """A block whose Python is that of the environment with Open MPI."""
    folder = Path(sys.prefix, "openmpi", "bin")
    assert folder.is_dir(), "tools/openmpi_env.sh makes it; so does `make integration`"
    return LocalProvider(init_blocks=1, max_blocks=1, worker_init=f"export PATH={folder}:$PATH")


@annotate(MPI(ranks=2))
def total(x: int, comm: Any = None) -> int:
    return int(comm.allreduce(x))


@annotate(MPI(ranks=2))
def nap(seconds: float, comm: Any = None) -> list[list[int]]:
    time.sleep(seconds)
    return comm.gather(sorted(os.sched_getaffinity(0)))  # type: ignore[no-any-return]  # mpi4py's is


@annotate(MPI(ranks=2))
def rank_one_fails(comm: Any = None) -> int:
    if comm.rank == 1:
        raise KeyError("not here")
    return int(comm.allreduce(1))


@annotate(MPI(ranks=2))
def rank_one_dies(seconds: float = 0, comm: Any = None) -> int:
    time.sleep(seconds)
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(comm.allreduce(1))
