"""`python -m benchmarks.library.emulation.process FOLDER HOSTS CORES GPUS`: all hosts that are none.

It reads orders on its standard input, a JSON object per line, and answers each with a line: `{"mean": 0.1}` (how long
tasks take), `{"held": true}` (nobody answers), `{"cut": ["n1"], "seconds": 10}`, `{"kill": ["n2"]}`. It leaves when
there is nothing more to read.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.library.emulation.agent import EmulatedHost, share_threads
from benchmarks.library.emulation.workers import Delay
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.pilot.gc_tuning import tune

GB = 512.0


def facts(cores: int, gpus: int) -> HostFacts:
    """Return what a host offers that has so many cores and GPUs."""
    half = cores // 2
    return HostFacts(
        address="127.0.0.1",
        cores=list(range(cores)),
        memory=GB,
        vendor="nvidia" if gpus else "",
        gpus=[str(gpu) for gpu in range(gpus)],
        domains=[list(range(half)), list(range(half, cores))],
        near=[[] for _ in range(gpus)],
    )


def obey(order: dict[str, Any], hosts: dict[str, EmulatedHost], delay: Delay) -> None:
    """Do as told."""
    delay.mean = order.get("mean", delay.mean)
    if "held" in order:
        delay.held = order["held"]
        for host in hosts.values():
            host.go_on()
    for name in order.get("cut", ()):
        hosts[name].cut(order["seconds"])
    for name in order.get("kill", ()):
        hosts[name].kill()


async def serve(folder: Path, offered: HostFacts) -> None:
    """Have the hosts until there are no more orders."""
    delay, over = Delay(1), asyncio.Event()
    hosts = {path.name: EmulatedHost(path.name, folder, offered, delay) for path in folder.iterdir()}
    tune()
    buffer = b""

    def hear() -> None:
        nonlocal buffer
        more = os.read(0, 1 << 20)
        *lines, buffer = (buffer + more).split(b"\n")
        for line in lines:
            obey(json.loads(line), hosts, delay)
            os.write(1, b"{}\n")
        if not more:
            over.set()

    asyncio.get_running_loop().add_reader(0, hear)
    os.write(1, b"{}\n")
    await over.wait()


def main(arguments: list[str]) -> None:
    """Be all hosts."""
    folder, cores, gpus = arguments
    share_threads()
    asyncio.run(serve(Path(folder), facts(int(cores), int(gpus))))


if __name__ == "__main__":
    main(sys.argv[1:])
