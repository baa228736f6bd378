"""A block of emulated hosts as a benchmark has it: the real driver, the real pilot, and what is all of the hosts."""

import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from benchmarks.library import sides
from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.wire.reports import BlockReport
from testing.processes import processes_of, spent
from testing.waiting import until

__all__ = ("LABEL", "Block", "emulated")

LABEL = "emulated"
"""Carried by all hosts but the pilot's own, where a worker would be a process."""
_ROOT = Path(__file__).parents[3]
_MODULE = "benchmarks.library.emulation.process"
_START_WITHIN = 300.0


class Block:
    """A block that is up.

    Args:
        executor: Its executor.
        folder: Where its hosts take orders.
        names: Those of its hosts.
        ready: Seconds from the start to the pilot's first word.

    Attributes:
        executor: As given.
        names: As given.
        ready: As given.
        pilot: Its process id.
    """

    def __init__(self, executor: RhapsodyExecutor, folder: Path, names: Sequence[str], ready: float) -> None:
        self.executor, self._folder, self.names, self.ready = executor, folder, names, ready
        (self._pilot,) = processes_of("rhapsody_parsl.pilot")
        self.pilot = self._pilot.pid
        self._hosts = [process.pid for process in processes_of(_MODULE)]

    def tell(self, **order: Any) -> None:
        """Give the hosts an order; returns when it is carried out."""
        for path in self._folder.iterdir():
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                line.sendall(json.dumps(order).encode() + b"\n")
                line.recv(1)

    @property
    def resident(self) -> int:
        """Bytes of the pilot."""
        return int(self._pilot.memory_info().rss)

    @property
    def descriptors(self) -> int:
        """Open files of the pilot."""
        return int(self._pilot.num_fds())

    def freeze(self, seconds: float) -> None:
        """Have the pilot do nothing for a while, as if it were busy with something long."""
        self._pilot.suspend()
        try:
            threading.Event().wait(seconds)
        finally:
            self._pilot.resume()

    def spent(self) -> dict[str, float]:
        """Return the seconds of CPU so far, by process."""
        hosts = sum(spent(pid)[0] for pid in self._hosts)
        return {"driver": spent(os.getpid())[0], "pilot": spent(self.pilot)[0], "hosts": hosts}

    def running(self) -> int:
        """Return how many tasks are at work, as of the last report."""
        return self._report().tasks.running

    def lost_nodes(self) -> Sequence[str]:
        """Return the nodes that are lost, as of the last report."""
        return self._report().lost_nodes

    def _report(self) -> BlockReport:
        """Return the last report; a snapshot would have each of a hundred thousand leases, each time it is asked."""
        (block,) = self.executor._link.blocks  # type: ignore[union-attr]  # it runs
        return block.report


@contextmanager
def emulated(count: int, cores: int = 64, gpus: int = 4, **options: Any) -> Iterator[Block]:
    """Have a block of this host and so many that are none.

    Args:
        count: How many emulated hosts.
        cores: Of each.
        gpus: Of each.
        options: More of the executor.
    """
    names = [f"n{number:05}" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory(prefix="scale-") as place:
        folder = Path(place) / "orders"
        folder.mkdir()
        words = ["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", _MODULE, folder, cores, gpus, "{hosts}"]
        executor = RhapsodyExecutor(
            "scale",
            _provider(_listed(Path(place) / "hostfile", names, cores), count + 1),
            runtimes=[LocalRuntime(), MPIRuntime()],
            default_runtime="local",
            node_launcher=" ".join(map(str, words)),
            **options,
        )
        began = time.perf_counter()
        with sides.load(executor, place):
            until(executor.connected_blocks, _START_WITHIN)
            yield Block(executor, folder, names, time.perf_counter() - began)


def _listed(file: Path, names: Sequence[str], cores: int) -> Path:
    """Write the file of hosts, the pilot's first; return it."""
    lines = [f"{socket.gethostname()} slots=1", *(f"{name} slots={cores} labels={LABEL}" for name in names)]
    file.write_text("\n".join(lines))
    return file


def _provider(listed: Path, nodes: int) -> LocalProvider:
    """Return what starts one pilot, on this host, in a job of so many nodes."""
    init = f"export RHAPSODY_HOSTFILE={listed}"
    return LocalProvider(
        nodes_per_block=nodes, init_blocks=1, max_blocks=1, worker_init=init, launcher=SimpleLauncher()
    )
