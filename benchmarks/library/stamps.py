"""Time stamps at places in the real processes of a block, for a benchmark; the product knows nothing of them.

Each process writes its stamps to a mapped file for each place, which survives any end. They are of `CLOCK_MONOTONIC`,
the same in all processes of a host. In those of a block Python itself calls `install`, by `hook/sitecustomize.py`.
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

from benchmarks.library.traces import MODULES, TRACES

FOLDER, KIND = "RHAPSODY_BENCHMARK_STAMPS", "RHAPSODY_BENCHMARK_KIND"
"""Variables with the folder of the stamps, and with the kind of task that is followed."""
MOST = 1 << 16
_STAMP = struct.Struct("<q")


def environment(kind: str, folder: str) -> dict[str, str]:
    """Return the variables with which the processes of a block stamp a trace's places into a folder."""
    here = Path(__file__).parent
    paths = [str(here / "hook"), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    return {FOLDER: folder, KIND: kind, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def install_by_command() -> None:
    """Install what the words of this process's command ask for: called as Python starts."""
    role, folder = role_of(sys.orig_argv), os.environ.get(FOLDER)
    if role and folder:
        install(role, os.environ[KIND], folder)


def role_of(words: Sequence[str]) -> str:
    """Return the role of a process by its command, "" where it has none."""
    return next((role for role, module in MODULES.items() if list(words[1:3]) == ["-m", module]), "")


def install(role: str, kind: str, folder: str) -> None:
    """Stamp at the places of a role from now on."""
    for place, span in TRACES[kind].items():
        if span.role == role:
            owner, name = found(span.function)
            setattr(owner, name, stamped(getattr(owner, name), Path(folder) / f"{place}.{os.getpid()}", span.edge))


def found(function: str) -> tuple[Any, str]:
    """Return what has a function, `module:Class.function`, and its name there."""
    module, _, path = function.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name


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


def join(
    windows: Sequence[tuple[int, int]], stamps: Sequence[Sequence[int]], counts: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Return for each window its begin, the stamp of each place inside that counts, and its end.

    A window in which a place has fewer stamps than it should or more is left out: a heartbeat or a report came between.

    Args:
        windows: Begin and end, nanoseconds.
        stamps: Of each place, in order of time.
        counts: Of each place, which of the stamps inside counts, of how many.
    """
    rows = []
    for begin, end in windows:
        inside = [some[bisect_left(some, begin) : bisect_right(some, end)] for some in stamps]
        if [len(some) for some in inside] == [of for _, of in counts]:
            rows.append([begin, *(some[which - 1] for some, (which, _) in zip(inside, counts, strict=True)), end])
    return rows
