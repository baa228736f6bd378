"""Time stamps at places in the real processes of a block, for a benchmark; the product knows nothing of them.

Each process writes its stamps to a mapped file for each place, which survives any end. They are of `CLOCK_MONOTONIC`,
the same in all processes of a host. In pilot and workers Python itself calls `install`, by `hook/sitecustomize.py`.
"""

import importlib
import mmap
import os
import struct
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = "RHAPSODY_BENCHMARK_STAMPS"
"""Variable with the folder of the stamps."""
MOST = 1 << 16
_STAMP = struct.Struct("<q")

PLACES = {
    "driver": {
        "submit": ("rhapsody_parsl.executors.executor", "RhapsodyExecutor.submit", "begins"),
        "packed": ("rhapsody_parsl.executors.link", "Link.put", "begins"),
        "given": ("rhapsody_parsl.wire.stream", "StreamDoor.send", "begins"),
        "heard": ("rhapsody_parsl.executors.executor", "RhapsodyExecutor.ended", "begins"),
        "opened": ("rhapsody_parsl.executors.future", "TaskFuture.set_result", "begins"),
    },
    "pilot": {
        "arrived": ("rhapsody_parsl.pilot.loop", "Pilot._receive", "begins"),
        "decided": ("rhapsody_parsl.runtimes.exchange", "Exchange.send", "begins"),
        "fed": ("rhapsody_parsl.wire.stream", "StreamDoor.send", "begins"),
        "back": ("rhapsody_parsl.pilot.loop", "Pilot.done", "begins"),
        "reported": ("rhapsody_parsl.pilot.link", "Link.send", "begins"),
    },
    "worker": {
        "received": ("rhapsody_parsl.wire.channel", "Spoke.receive", "ends"),
        "begun": ("rhapsody_parsl.worker.call", "call", "begins"),
        "run": ("rhapsody_parsl.worker.call", "call", "ends"),
        "sent": ("rhapsody_parsl.wire.stream", "StreamLine.send", "begins"),
    },
}
"""By process: the places' names, and of which function they are the begin or the end.

No place is the end of a sending: the kernel may let the receiver run first.
"""


def environment(folder: str) -> dict[str, str]:
    """Return the variables with which pilot and workers stamp into a folder."""
    here = Path(__file__).parent
    paths = [str(here / "hook"), str(here.parent), os.environ.get("PYTHONPATH", "")]
    return {FOLDER: folder, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def install_by_command() -> None:
    """Install what the words of this process's command ask for: called as Python starts."""
    words, folder = sys.orig_argv, os.environ.get(FOLDER)
    for role in ("pilot", "worker"):
        if folder and f"rhapsody_parsl.{role}" in words[:3]:
            install(role, folder)


def install(role: str, folder: str) -> None:
    """Stamp at the places of a role from now on."""
    for place, (module, path, edge) in PLACES[role].items():
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, name, stamped(getattr(owner, name), Path(folder) / f"{place}.{os.getpid()}", edge))


def stamped(function: Callable[..., Any], file: Path, edge: str) -> Callable[..., Any]:
    """Return the function so that it stamps into a file when it begins or when it ends."""
    with file.open("w+b") as opened:
        opened.truncate(MOST * _STAMP.size)
        view = memoryview(mmap.mmap(opened.fileno(), 0)).cast("q")
    free = iter(range(MOST))
    now = time.monotonic_ns

    def begins(*args: Any, **kwargs: Any) -> Any:
        view[next(free)] = now()
        return function(*args, **kwargs)

    def ends(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        view[next(free)] = now()
        return result

    return begins if edge == "begins" else ends


def read(folder: str, place: str) -> list[int]:
    """Return the stamps of a place in all processes, in order, in nanoseconds."""
    numbers = [n for file in Path(folder).glob(f"{place}.*") for (n,) in _STAMP.iter_unpack(file.read_bytes()) if n]
    return sorted(numbers)


def join(windows: Sequence[tuple[int, int]], stamps: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return for each window its begin, the one stamp of each place inside, and its end.

    A window in which a place has none or several is left out: a heartbeat or a report came between.

    Args:
        windows: Begin and end, nanoseconds.
        stamps: Of each place, in order of time.
    """
    rows = []
    for begin, end in windows:
        inside = [some[bisect_left(some, begin) : bisect_right(some, end)] for some in stamps]
        if all(len(some) == 1 for some in inside):
            rows.append([begin, *(some[0] for some in inside), end])
    return rows
