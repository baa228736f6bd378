"""How much a host works: its cores by the kernel's counters, its GPUs by what the vendor's driver says.

A look reads two short files, and a third for each AMD GPU: less than a millisecond. Nvidia's GPUs are told by one
`nvidia-smi`, which goes on by itself; where it is not there, nothing is told of them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rhapsody_parsl.hosts import probe
from rhapsody_parsl.hosts.gpu_use import GpuWatch, watch_gpus

__all__ = ("HostUse", "HostWatch", "every")

_LEAST, _MOST = 2.0, 10.0
_PER_SECOND = 100.0
"""What the pilot hears of a large block, at most."""
_IDLE, _IO_WAIT = 3, 4
"""Places of the kernel's counters of a core."""


def every(hosts: int) -> float:
    """Return the seconds between two looks at each of so many hosts."""
    return min(_MOST, max(_LEAST, hosts / _PER_SECOND))


class HostUse(NamedTuple):
    """How much a host, or a part of it, works; it travels as a list, in this order.

    Attributes:
        cpu: Part of the time that its cores worked, 0 to 1.
        memory: GB that are used.
        gpus: For each GPU the part of the time that it worked, and GB of its memory; none where nobody says.
    """

    cpu: float = 0.0
    memory: float = 0.0
    gpus: tuple[tuple[float, float], ...] = ()


class HostWatch:
    """Looks at this host from time to time; made on the event loop.

    Args:
        vendor: Of the GPUs: see `probe.HostFacts`.
        gpus: Ids of the GPUs to look at.
        period: Seconds between two looks.
        root: Where `proc` and `sys` are.
    """

    def __init__(self, vendor: str, gpus: Sequence[str], period: float, root: Path = Path("/")) -> None:
        self._root = root
        self._gpus: GpuWatch | None = watch_gpus(vendor, period, root, asyncio.get_running_loop()) if gpus else None
        self._ticks = self._counters()
        self._busy: dict[int, float] = {}
        self._memory = 0.0

    def look(self) -> None:
        """See how much was used since the last look."""
        before, self._ticks = self._ticks, self._counters()
        for core, (busy, total) in self._ticks.items():
            of = before.get(core, (0, 0))
            if total > of[1]:
                self._busy[core] = min(1.0, max(0.0, (busy - of[0]) / (total - of[1])))
        self._memory = self._memory_used()

    def use(self, cores: Sequence[int], gpus: Sequence[str]) -> HostUse:
        """Return the use of a part of the host, as it was at the last look.

        Args:
            cores: Ids of the operating system.
            gpus: Ids as the vendor's variable takes them.
        """
        busy = sum(self._busy.get(core, 0.0) for core in cores) / max(1, len(cores))
        known = self._gpus.newest() if self._gpus else {}
        told = [use for gpu in gpus if (use := _of(known, gpu))]
        return HostUse(round(busy, 2), round(self._memory, 1), tuple(told) if len(told) == len(gpus) else ())

    def close(self) -> None:
        """Look no more; idempotent."""
        if self._gpus:
            self._gpus.close()

    def _counters(self) -> dict[int, tuple[int, int]]:
        """Return for each core how many ticks it has worked, and how many there were."""
        found = {}
        for line in probe.read_text(self._root / "proc/stat").splitlines():
            name, _, rest = line.partition(" ")
            if name.startswith("cpu") and name != "cpu":
                ticks = [int(each) for each in rest.split()[:8]]
                total = sum(ticks)
                found[int(name[3:])] = total - ticks[_IDLE] - ticks[_IO_WAIT], total
        return found

    def _memory_used(self) -> float:
        """Return the GB that nobody else could have."""
        lines = probe.read_text(self._root / "proc/meminfo").splitlines()
        kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[:5]}
        return (kilobytes.get("MemTotal", 0) - kilobytes.get("MemAvailable", 0)) * 1024 / probe.GB


def _of(known: Mapping[str, tuple[float, float]], gpu: str) -> tuple[float, float] | None:
    """Return what is known of a GPU; of its long name the beginning is enough, as for the vendor."""
    if gpu in known or not gpu.startswith("GPU-"):
        return known.get(gpu)
    return next((use for name, use in known.items() if name.startswith(gpu)), None)
