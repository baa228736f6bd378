"""Reads traces in the Standard Workload Format of the Parallel Workloads Archive, version 2.2."""

import gzip
import math
import zlib
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.trace import TracedTask

__all__ = ("read_swf",)

_FIELDS = 18
_GZIP = b"\x1f\x8b"
_SUBMIT, _RUN, _USED, _WANTED, _LIMIT, _USER = 1, 3, 4, 7, 8, 11
"""Places of the fields that are read: submit time, run time, processors used and wanted, time wanted, user."""


def read_swf(path: Path | str) -> list[TracedTask]:
    """Return the jobs of a trace.

    A processor is a core. A job of several processors is a gang of as many ranks on any nodes, and named for its user.
    Jobs that never ran, or of which nobody knows how long or how wide, are left out, as is usual.

    Args:
        path: The file, compressed by gzip, as the archive has it, or not.

    Raises:
        InvalidTask: It cannot be read, a line is no job, or no job ran.
    """
    try:
        with Path(path).expanduser().open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw
            with TextIOWrapper(file, encoding="utf-8", errors="replace") as lines:
                jobs = list(_jobs(str(path), lines))
    except (OSError, EOFError, zlib.error, RuntimeError) as problem:  # the last for a home that nobody has
        raise InvalidTask("trace", str(path), f"it cannot be read: {problem}") from problem
    if not jobs:
        raise InvalidTask("trace", str(path), "no job of it ran", "Give a trace with run times and processors")
    return jobs


def _jobs(path: str, lines: Iterable[str]) -> Iterator[TracedTask]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        job = _numbers(f"{path}, line {number}", line)
        processors = int(job[_WANTED] if job[_WANTED] > 0 else job[_USED])
        if processors > 0 and job[_RUN] > 0 and job[_SUBMIT] >= 0:
            yield _task(job, processors)


def _numbers(where: str, line: str) -> list[float]:
    words = line.split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != _FIELDS or not all(map(math.isfinite, numbers)):
        problem = f"{_FIELDS} numbers are needed, and {len(words)} words are there"
        raise InvalidTask("trace", where, problem, "See the Standard Workload Format, 2.2")
    return numbers


def _task(job: list[float], processors: int) -> TracedTask:
    keys: dict[str, Any] = {"num_ranks": processors} if processors > 1 else {"cores": 1}
    seconds = job[_RUN]
    if job[_LIMIT] > 0:
        keys["walltime"] = job[_LIMIT]
        seconds = min(seconds, job[_LIMIT])
    return TracedTask(seconds=seconds, submitted=job[_SUBMIT], keys=keys, name=f"user{job[_USER]:.0f}")
