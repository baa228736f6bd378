"""`python -m benchmarks.library.emulation.process FOLDER CORES GPUS HOSTS ... --told FILE`: is all of these hosts.

A step of a batch system would start the words in between on each host. What the agents are to know is in the file. It
leaves when its standard input ends, as such a step does, or when all agents have left.

It has a socket in the folder, and takes orders there, a JSON object per line, each answered by a line: `{"mean": 0.1}`
(how long tasks take), `{"held": true}` (nobody answers), `{"cut": ["n1"], "seconds": 10}`, `{"kill": ["n2"]}`.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec

from benchmarks.library.emulation.agent import EmulatedAgent, share_threads
from benchmarks.library.emulation.workers import Delay
from rhapsody_parsl.agents.words import Settings
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.pilot.gc_tuning import tune

_GB = 512.0
_MOST = 1600
"""Hosts of a process."""


def facts(cores: int, gpus: int) -> HostFacts:
    """Return what a host offers that has so many cores and GPUs."""
    half = cores // 2
    return HostFacts(
        address="127.0.0.1",
        cores=list(range(cores)),
        memory=_GB,
        vendor="nvidia" if gpus else "",
        gpus=[str(gpu) for gpu in range(gpus)],
        domains=[list(range(half)), list(range(half, cores))],
        near=[[] for _ in range(gpus)],
    )


def settings_of(told: Settings) -> list[Settings]:
    """Return what each agent is to know, of what one or many are told; all are found on the loopback."""
    port = told.address.rpartition(":")[2]
    near = msgspec.structs.replace(told, address=f"tcp://127.0.0.1:{port}", own={})
    found = []
    for host, own in (told.own or {told.host: {}}).items():
        each = msgspec.structs.replace(near, **{"host": host, **own})
        listens = each.listens and _on_loopback(host, each.listens)
        gateway = each.gateway and _on_loopback(urlparse(each.gateway).hostname or "", each.gateway)
        found.append(msgspec.structs.replace(each, listens=listens, gateway=gateway))
    return found


def _on_loopback(host: str, address: str) -> str:
    """Return where a host of this process listens: all have the same port, as real ones do."""
    high, low = divmod(int(host.strip("n")), 256)
    return f"tcp://127.1.{high}.{low}:{address.rpartition(':')[2]}"


class Hosts:
    """The hosts of this process.

    Args:
        settings: Of their agents.
        offered: What each offers.
    """

    def __init__(self, settings: list[Settings], offered: HostFacts) -> None:
        self._delay, self._offered = Delay(1), offered
        self._agents = {each.host: EmulatedAgent(each, self._delay) for each in settings}
        self._lives = {host: asyncio.create_task(self._live(host), name=host) for host in self._agents}

    async def serve(self) -> None:
        """Be there until all agents have left."""
        await asyncio.gather(*self._lives.values(), return_exceptions=True)

    async def orders(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take orders from somebody."""
        async for line in reader:
            self._obey(json.loads(line))
            writer.write(b"{}\n")
        writer.close()

    def leave(self) -> None:
        """Have all leave."""
        for agent in self._agents.values():
            agent.leave("the pilot is gone")

    def _obey(self, order: dict[str, Any]) -> None:
        self._delay.mean = order.get("mean", self._delay.mean)
        if "held" in order:
            self._delay.held = order["held"]
            for agent in self._agents.values():
                agent.workers.go_on()
        for host in self._agents.keys() & order.get("cut", ()):
            self._agents[host].cut(order["seconds"])
        for host in self._agents.keys() & order.get("kill", ()):
            self._lives[host].cancel()

    async def _live(self, host: str) -> None:
        """Be an agent; what stands over it says when nothing is left, also after a kill."""
        agent = self._agents[host]
        try:
            await agent.serve(self._offered)
        finally:
            del self._agents[host]
            agent.close()
            print(json.dumps({"host": host, "left": True}), flush=True)


async def serve(folder: Path, settings: list[Settings], offered: HostFacts) -> None:
    """Be hosts, and take orders."""
    hosts = Hosts(settings, offered)
    tune()
    socket = folder / str(os.getpid())
    server = await asyncio.start_unix_server(hosts.orders, socket)
    loop = asyncio.get_running_loop()

    def hear() -> None:
        if not os.read(0, 1 << 16):
            loop.remove_reader(0)
            hosts.leave()

    loop.add_reader(0, hear)
    await hosts.serve()
    server.close()
    socket.unlink()


def main(arguments: list[str]) -> None:
    """Be hosts."""
    folder, cores, gpus = arguments[:3]
    told = msgspec.json.decode(Path(arguments[-1]).read_bytes(), type=Settings)
    mine = _forked(settings_of(told))
    share_threads()
    asyncio.run(serve(Path(folder), mine, facts(int(cores), int(gpus))))
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _forked(settings: list[Settings]) -> list[Settings]:
    """Return those of this process; it has others for the rest, for so many have more open files than one may."""
    for first in range(_MOST, len(settings), _MOST):
        if not os.fork():
            return settings[first : first + _MOST]
    return settings[:_MOST]


if __name__ == "__main__":
    main(sys.argv[1:])
