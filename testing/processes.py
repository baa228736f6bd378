"""Find processes by their command line, on a machine where others come and go while we look."""

import itertools
import os
import zlib
from pathlib import Path

import psutil


def below(word: str = "", pid: int | None = None) -> list[psutil.Process]:
    """List the living processes below one (this one by default) that have a word in their command line."""
    return [process for process in psutil.Process(pid).children(recursive=True) if word in command_of(process)]


def processes_of(module: str) -> list[psutil.Process]:
    """List the living processes below this one that are `python -m module`; not the guards over them."""
    return [process for process in below(module) if command_of(process).split()[1:3] == ["-m", module]]


def command_of(process: psutil.Process) -> str:
    """Return a process's command line, "" when it has ended or is a zombie."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # of which psutil's ZombieProcess is one
        return ""


def spent(pid: int) -> tuple[float, int]:
    """Return the seconds of CPU and the minor page faults of a process so far; nothing of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[7])


def peak_memory(process: psutil.Process) -> int:
    """Return the most resident memory a process has had so far, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def engine_folders(service: str) -> set[str]:
    """Return the names that the folders of a service's replicas may have: see `Replica`."""
    starts = itertools.product(range(8), range(1, 9), ("", ".node1", ".node2"))
    parts = [f"{service}-{replica}.{start}{node}" for replica, start, node in starts]
    return {f"/{zlib.crc32(part.encode()):x}/" for part in parts}
