"""Launches of several programs in one gang: what `programs.py` needs to compose the line. Pure."""

from collections.abc import Sequence

import msgspec

from rhapsody_parsl.annotations.groups import RankGroup
from rhapsody_parsl.runtimes.mpi.launch import programs
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import Place

__all__ = ("TELLS_NO_RANK", "plan_of", "prefix")

TELLS_NO_RANK = ("mpiexec", "aprun")
"""Launchers under which a rank does not know its number."""

_COLON = ("hydra", "openmpi")
"""Launchers whose line has one part per program; under the others each rank takes its program by its number."""


def prefix(launcher: Launcher) -> list[str]:
    """Return the words before the programs, which stand between colons."""
    return [launcher.python, "-I", "-S", programs.__file__]


def plan_of(
    launcher: Launcher, groups: Sequence[RankGroup], places: Sequence[Place], *,
    line: Sequence[str], before: Sequence[str], gpu_variable: str,
) -> str:  # fmt: skip
    """Return what `programs.py` reads.

    Args:
        launcher: The block's.
        groups: Of the task.
        places: Where its ranks are, in order.
        line: The launch line of all ranks.
        before: Words before each rank's program.
        gpu_variable: The vendor's, "" where ranks have no GPUs.
    """
    sizes = [group.ranks for group in groups]
    env = [dict(group.env) | ({gpu_variable: ""} if gpu_variable and not group.gpus else {}) for group in groups]
    parts: list[list[str]] = []
    if launcher.kind in _COLON:
        own = ("-n", "--host") if launcher.kind == "openmpi" else ("-n",)
        parts = [_of_part(launcher, part) for part in _cut(places, sizes)]
        parts[1:] = [[*part, *_told(line)] for part in parts[1:]]
        line = _without(line, own)
    return msgspec.json.encode({
        "line": list(line), "parts": parts, "before": list(before), "sizes": sizes, "env": env,
    }).decode()  # fmt: skip


def _of_part(launcher: Launcher, places: Sequence[Place]) -> list[str]:
    count = ["-n", str(sum(len(place.ranks) for place in places))]
    if launcher.kind != "openmpi":
        return count
    return [*count, "--host", ",".join(f"{place.host}:{len(place.ranks)}" for place in places)]


def _told(line: Sequence[str]) -> list[str]:
    """Return the options of a line by which Open MPI tells ranks variables: they hold for one program."""
    return [word for at, word in enumerate(line) if "-x" in (word, line[at - 1])]


def _without(line: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return a line without the first of each of these options, and its value."""
    words = list(line)
    for option in options:
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return words


def _cut(places: Sequence[Place], sizes: Sequence[int]) -> list[list[Place]]:
    """Return the places of each group: ranks are numbered through all of them in order."""
    ranks = [(place.host, cores) for place in places for cores in place.ranks]
    found, first = [], 0
    for size in sizes:
        hosts: dict[str, list[tuple[int, ...]]] = {}
        for host, cores in ranks[first : first + size]:
            hosts.setdefault(host, []).append(cores)
        found.append([Place(host, tuple(cores)) for host, cores in hosts.items()])
        first += size
    return found
