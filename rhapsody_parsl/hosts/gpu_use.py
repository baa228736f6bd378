"""How much GPUs work: of Nvidia's by `nvidia-smi`, of AMD's by the kernel's driver; of others nobody tells us."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rhapsody_parsl.hosts import guard, probe

__all__ = ("GpuWatch", "watch_gpus")

GpuUse = tuple[float, float]
"""Part of the time that a GPU worked, and GB of its memory that are used."""

_SMI = "nvidia-smi"
_FIELDS = "index,uuid,utilization.gpu,memory.used"
_MIB = 1024 * 1024
_MOST_PENDING = 1 << 16
"""Bytes of a line; a program that writes more without an end of line is none that we know."""
_LEAVE_WITHIN = 2.0


class GpuWatch(Protocol):
    """Who knows how much the GPUs of this host work."""

    def newest(self) -> Mapping[str, GpuUse]:
        """Return what was last seen, by all ids that a GPU has."""

    def close(self) -> None:
        """Look no more; idempotent."""


def watch_gpus(vendor: str, period: float, root: Path, loop: asyncio.AbstractEventLoop) -> GpuWatch | None:
    """Return who knows of a vendor's GPUs here; None where nobody does.

    Args:
        vendor: `nvidia`, `amd`, `intel` or "".
        period: Seconds between two looks.
        root: Where `sys` is.
        loop: Reads what is told.
    """
    if vendor == "amd":
        return _Amd(root)
    program = shutil.which(_SMI) if vendor == "nvidia" else None
    with contextlib.suppress(OSError):  # a process more cannot be had
        return _Nvidia(program, period, loop) if program else None
    return None


class _Amd:
    """The kernel's driver has two files per GPU."""

    def __init__(self, root: Path) -> None:
        self._devices = probe.devices("amd", root)

    def newest(self) -> dict[str, GpuUse]:
        found = {}
        for number, device in enumerate(self._devices):
            busy, memory = (probe.read_text(device / name) for name in ("gpu_busy_percent", "mem_info_vram_used"))
            if busy.isdigit() and memory.isdigit():
                found[str(number)] = _rounded(int(busy) / 100, int(memory))
        return found

    def close(self) -> None:
        """There is nothing to close."""


class _Nvidia:
    """One `nvidia-smi` that says it again and again: to start it each time would cost a good part of a second."""

    def __init__(self, program: str, period: float, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, GpuUse] = {}
        self._pending = b""
        argv = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits", f"--loop={max(1, round(period))}"]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=guard.leave_with_parent,  # noqa: PLW1509 - standard library calls of one thread
        )
        assert self._process.stdout  # noqa: S101 - it was asked for
        self._descriptor = self._process.stdout.fileno()
        os.set_blocking(self._descriptor, False)
        loop.add_reader(self._descriptor, self._read)

    def newest(self) -> dict[str, GpuUse]:
        return self._known

    def close(self) -> None:
        process, self._process = self._process, None
        self._known = {}
        if process is None:
            return
        self._loop.remove_reader(self._descriptor)
        process.kill()
        if process.stdout:
            process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that hangs keeps it
            process.wait(_LEAVE_WITHIN)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _MOST_PENDING)
        except BlockingIOError:
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace"))
        if not data or len(self._pending) > _MOST_PENDING:
            self.close()

    def _take(self, line: str) -> None:
        fields = [field.strip() for field in line.split(",")]
        try:
            number, name, busy, memory = fields
            use = _rounded(float(busy) / 100, float(memory) * _MIB)
        except ValueError:  # "[N/A]", as of a GPU that is cut in parts
            return
        self._known[number] = self._known[name] = use


def _rounded(busy: float, used: float) -> GpuUse:
    return round(min(1.0, busy), 2), round(used / probe.GB, 1)
