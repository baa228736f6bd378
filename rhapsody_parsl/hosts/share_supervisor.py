"""`python -m rhapsody_parsl.hosts.share_supervisor FOLDER`: the one process of a job that several executors share.

It starts each share's command, on its cores or nodes alone, when an order for it appears in the folder, and says there
how it ended. An order `N.json` may be followed by `N.cancel`; the answer is `N.exit`, the exit code. The folder is on
a shared file system, where nobody tells of new files: the supervisor looks once a second.
"""

import argparse
import os
import select
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from rhapsody_parsl.cluster.batch import list_hosts
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.node_launcher import detect
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts.guarded_script import GuardedScript

__all__ = ("Order", "ShareSupervisor", "variables_of", "write_whole")

T = TypeVar("T")

_PERIOD = 1.0
_IDLE = 20.0
"""Seconds without a command after which the job ends by itself: whoever gave the orders is gone."""


class Order(msgspec.Struct, frozen=True):
    """A share's command.

    Attributes:
        share: Number of the share; its commands run one after the other.
        script: The command's.
        unit: `cores` of the first host, or whole `nodes`.
        first: Number of the first one that is the share's.
        count: How many are.
    """

    share: int
    script: str
    unit: str
    first: int
    count: int


def write_whole(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)


def variables_of(folder: Path, share: int) -> Path:
    """Return the file from which a share's scripts read what is theirs."""
    return folder / f"share-{share}.env"


class ShareSupervisor:
    """The commands of one job.

    Args:
        folder: Where the orders appear.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts = list[Listed]()
        self._running: dict[str, tuple[Order, GuardedScript]] = {}

    def serve(self) -> None:
        """Do as ordered until nothing has run for a while."""
        busy = time.monotonic()
        while time.monotonic() - busy < _IDLE:
            self.step()
            if self._running:
                busy = time.monotonic()
            select.select([], [], [], _PERIOD)

    def step(self) -> None:
        """Look at what has ended, what is to end and what is to start."""
        for number, (_, script) in list(self._running.items()):
            if self._cancelled(number):
                script.end()
            if (code := script.poll()) is not None:
                script.end()
                del self._running[number]
                self._answer(number, code)
        for path in sorted(self._folder.glob("*.json"), key=lambda path: int(path.stem)):
            self._consider(path)

    def _consider(self, path: Path) -> None:
        number = path.stem
        if number in self._running or path.with_suffix(".exit").exists():
            return
        order = msgspec.json.decode(path.read_bytes(), type=Order)
        if self._cancelled(number):
            self._answer(number, 0)
        elif all(order.share != other.share for other, _ in self._running.values()):
            try:
                self._running[number] = order, self._start(order)
            except (RhapsodyError, OSError) as problem:
                write_whole(Path(f"{order.script}.err"), f"{problem}\n")
                self._answer(number, 1)

    def _start(self, order: Order) -> GuardedScript:
        self._hosts = self._hosts or list_hosts(os.environ, socket.gethostname())
        if order.unit == "cores":
            cores = _part(order, self._hosts[0].ours(sorted(os.sched_getaffinity(0))))
            self._export(order, {"PARSL_CORES": str(order.count)})
            return GuardedScript(Path(order.script), cores=cores)
        hosts = _part(order, self._hosts)
        narrowed = self._narrowed(order, hosts)
        if order.first == 0:  # where we stand ourselves
            self._export(order, narrowed)
            return GuardedScript(Path(order.script))
        node_launcher = detect("auto", os.environ)
        inherited = os.environ if node_launcher.kind == "ssh" else {}  # it brings no variables, the others do
        self._export(order, {**inherited, **narrowed})
        return GuardedScript(Path(order.script), hosts[0].name, node_launcher)

    def _narrowed(self, order: Order, hosts: Sequence[Listed]) -> dict[str, str]:
        """Return variables that show a share's hosts as if they were all there are."""
        names, plain = self._folder / f"share-{order.share}.hosts", self._folder / f"share-{order.share}.nodes"
        write_whole(names, "".join(f"{host.name} slots={host.cores}\n" for host in hosts))
        write_whole(plain, "".join(f"{host.name}\n" for host in hosts))
        own = {"RHAPSODY_HOSTFILE": str(names), "RHAPSODY_NODES": ",".join(host.name for host in hosts)}
        return {**own, "PBS_NODEFILE": str(plain)} if "PBS_NODEFILE" in os.environ else own

    def _export(self, order: Order, variables: Mapping[str, str]) -> None:
        """Write what the share's scripts read first; the folder is private."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items() if name.isidentifier())
        write_whole(variables_of(self._folder, order.share), "".join(lines))

    def _cancelled(self, number: str) -> bool:
        return (self._folder / f"{number}.cancel").exists()

    def _answer(self, number: str, code: int) -> None:
        write_whole(self._folder / f"{number}.exit", str(code))


def _part(order: Order, there: Sequence[T]) -> Sequence[T]:
    end = order.first + order.count
    if len(there) < end:
        raise RhapsodyError(
            f"This share is {order.unit} {order.first + 1} to {end} of the job, which has {len(there)} for us: "
            "declare smaller shares, or ask for a larger job."
        )
    return there[order.first : end]


def main() -> None:
    """Serve the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="made by the provider")
    ShareSupervisor(parser.parse_args().folder).serve()


if __name__ == "__main__":
    main()
