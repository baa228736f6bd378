"""Users' scripts: `python -m tests.cluster.scenarios NAME FOLDER OPTIONS`, run on the head of the cluster."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parsl
from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider, SlurmProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor
from tests.cluster import apps

RUNTIMES: dict[str, Any] = {"local": LocalRuntime, "dragon": DragonRuntime, "mpi": MPIRuntime}
PATIENCE = 100


def tell(event: str, value: Any = None) -> None:
    print(json.dumps({"event": event, "value": value}), flush=True)


@contextmanager
def block(
    folder: Path, runtimes: list[str], nodes: int = 3, way: str = "slurm", options: dict[str, Any] | None = None
) -> Iterator[RhapsodyExecutor]:
    """An executor with one block, over Slurm or, with a hostfile, over ssh."""
    given = {name: (options or {}).get(name, {}) for name in runtimes}
    worker_init = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={os.environ['PYTHONPATH']}"
    if way == "slurm":
        provider: Any = SlurmProvider(
            partition="main",
            nodes_per_block=nodes,
            walltime="00:10:00",
            scheduler_options="#SBATCH --no-kill",
            worker_init=worker_init,
            launcher=SimpleLauncher(),
            exclusive=True,
        )
    else:
        hosts = folder / "hosts"
        hosts.write_text("".join(f"{os.uname().nodename if i == 0 else f'vn{i}'}\n" for i in range(nodes)))
        provider = LocalProvider(nodes_per_block=nodes, worker_init=f"export RHAPSODY_HOSTFILE={hosts}; {worker_init}")
    executor = RhapsodyExecutor(
        label="rhapsody",
        provider=provider,
        runtimes=[RUNTIMES[name](**given[name]) for name in runtimes],
        heartbeat_threshold=8,
        heartbeat_period=1,
        **(options or {}).get("executor", {}),
    )
    with parsl.load(Config(executors=[executor], run_dir=str(folder / "runinfo"), initialize_logging=True)):
        yield executor


def functions(folder: Path, runtimes: list[str], **options: Any) -> None:
    """A function on each core of the block, all at once."""
    with block(folder, runtimes, **options) as executor:
        meeting = folder / "meeting"
        meeting.mkdir()
        cores = 6
        futures = [executor.submit(apps.meet, {}, str(meeting), cores) for _ in range(cores)]
        tell("met", [future.result(PATIENCE) for future in futures])


def main(arguments: list[str]) -> None:
    name, folder, options = arguments
    globals()[name](Path(folder), **json.loads(options))


if __name__ == "__main__":
    main(sys.argv[1:])
