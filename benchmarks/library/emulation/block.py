"""A block of emulated hosts as a benchmark has it: the real driver, the real pilot, and the process of all hosts."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.library import sides
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor
from testing.processes import processes_of, spent
from testing.waiting import until

__all__ = ("LABEL", "Block", "Hosts", "emulated")

LABEL = "emulated"
"""Carried by all hosts but the pilot's own, where a worker would be a process."""
_CARRY = Path(__file__).with_name("carry.sh")
_START_WITHIN = 300.0


class Hosts:
    """The process of all emulated hosts.

    Args:
        folder: Private; has the hosts' named pipes then.
        count: How many.
        cores: Of each.
        gpus: Of each.

    Attributes:
        names: Theirs.
        pid: Of the process.
    """

    def __init__(self, folder: Path, count: int, cores: int, gpus: int) -> None:
        self.names = [f"n{number:05}" for number in range(1, count + 1)]
        for name in self.names:
            os.mkfifo(folder / name)
        words = [sys.executable, "-m", "benchmarks.library.emulation.process", str(folder), str(cores), str(gpus)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        self._answer()

    def tell(self, **order: Any) -> None:
        """Give an order; returns when it is carried out."""
        pipe = cast(IO[bytes], self._process.stdin)
        pipe.write(json.dumps(order).encode() + b"\n")
        pipe.flush()
        self._answer()

    def close(self) -> None:
        """Have no hosts any more."""
        self._process.communicate()

    def _answer(self) -> None:
        if not cast(IO[bytes], self._process.stdout).readline():
            raise RuntimeError("the process of the emulated hosts has exited")


class Block:
    """A block that is up.

    Args:
        executor: Its executor.
        hosts: Its hosts.
        ready: Seconds from the start to the pilot's first word.

    Attributes:
        executor: As given.
        hosts: As given.
        ready: As given.
    """

    def __init__(self, executor: RhapsodyExecutor, hosts: Hosts, ready: float) -> None:
        self.executor, self.hosts, self.ready = executor, hosts, ready
        (self._pilot,) = processes_of("rhapsody_parsl.pilot")

    @property
    def resident(self) -> int:
        """Bytes of the pilot."""
        return int(self._pilot.memory_info().rss)

    @property
    def descriptors(self) -> int:
        """Open files of the pilot."""
        return int(self._pilot.num_fds())

    def spent(self) -> dict[str, float]:
        """Return the seconds of CPU so far, by process."""
        pids = {"driver": os.getpid(), "pilot": self._pilot.pid, "hosts": self.hosts.pid}
        return {name: spent(pid)[0] for name, pid in pids.items()}

    def tasks(self) -> dict[str, int]:
        """Return how many tasks there are in each state, as of the last report."""
        return dict(self._state()["tasks"])

    def lost_nodes(self) -> Sequence[Any]:
        """Return the nodes that are lost, as of the last report."""
        return list(self._state()["lost_nodes"])

    def _state(self) -> dict[str, Any]:
        (state,) = self.executor.snapshot()["blocks"]
        return dict(state)


@contextmanager
def emulated(count: int, cores: int = 64, gpus: int = 4, **options: Any) -> Iterator[Block]:
    """Have a block of this host and so many that are none.

    Args:
        count: How many emulated hosts.
        cores: Of each.
        gpus: Of each.
        options: More of the executor.
    """
    with tempfile.TemporaryDirectory(prefix="scale-") as place:
        folder = Path(place) / "hosts"
        folder.mkdir()
        hosts = Hosts(folder, count, cores, gpus)
        try:
            listed = _listed(Path(place) / "hostfile", hosts.names, cores)
            executor = RhapsodyExecutor(
                "scale",
                _provider(count + 1, listed),
                runtimes=[LocalRuntime(), MPIRuntime()],
                default_runtime="local",
                node_launcher=f"/bin/sh {_CARRY} {folder}/{{host}}",
                **options,
            )
            began = time.perf_counter()
            with sides.load(executor, place):
                until(executor.connected_blocks, _START_WITHIN)
                yield Block(executor, hosts, time.perf_counter() - began)
        finally:
            hosts.close()


def _provider(nodes: int, listed: Path) -> LocalProvider:
    """Return what starts one pilot, on this host, in a job of so many nodes."""
    init = f"export RHAPSODY_HOSTFILE={listed}"
    return LocalProvider(
        nodes_per_block=nodes, init_blocks=1, max_blocks=1, worker_init=init, launcher=SimpleLauncher()
    )


def _listed(file: Path, names: Sequence[str], cores: int) -> Path:
    """Write the file of hosts, the pilot's first; return it."""
    lines = [f"{socket.gethostname()} slots=1", *(f"{name} slots={cores} labels={LABEL}" for name in names)]
    file.write_text("\n".join(lines))
    return file
