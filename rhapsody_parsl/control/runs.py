"""Which running executor a person means: by the run's folder or number, else the newest one below `runinfo`."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rhapsody_parsl.control.client import answers
from rhapsody_parsl.control.place import FILE, Place, read
from rhapsody_parsl.errors import NoExecutor

__all__ = ("Found", "find")

_RUNS = Path("runinfo")
_OVER = "Of a run that is over, or was killed, rhapsody-parsl report tells"


class Found(NamedTuple):
    """A running executor.

    Attributes:
        folder: Its folder of the run directory.
        place: Where it listens.
    """

    folder: Path
    place: Place


def find(run: str | None, label: str | None = None, runs: Path = _RUNS) -> Found:
    """Return the executor that a person means.

    Args:
        run: Folder of a run or of an executor in it, the run's number, or a folder of runs, of which the newest that
            listens is meant; None for the newest of all.
        label: The executor's name; None where the run has only one.
        runs: Where runs are looked for.

    Raises:
        NoExecutor: There is none, or there are several.
    """
    folder = runs if run is None else _folder_of(run, runs)
    folders = _runs_in(folder) or [folder]
    elsewhere: list[Found] = []
    for folder in folders:
        there = [found for found in _announced(folder) if label in (None, found.place.label)]
        here = [found for found in there if found.place.host == socket.gethostname()]
        if alive := [found for found in here if answers(found.place)]:
            return _only(alive, folder)
        elsewhere += [found for found in there if found not in here]
    if elsewhere:
        return elsewhere[0]  # the client says on which host it is
    raise _none(run, label, runs)


def _runs_in(runs: Path) -> list[Path]:
    """Return the folders of runs, the newest first."""
    numbered = [folder for folder in runs.glob("*") if folder.name.isdecimal() and folder.is_dir()]
    return sorted(numbered, key=lambda folder: int(folder.name), reverse=True)


def _folder_of(run: str, runs: Path) -> Path:
    if run.isdecimal() and not Path(run).is_dir():
        return next((folder for folder in _runs_in(runs) if int(folder.name) == int(run)), runs / run)
    return Path(run)


def _announced(folder: Path) -> Iterator[Found]:
    for file in [folder / FILE, *sorted(folder.glob(f"*/{FILE}"))]:
        if place := read(file.parent):
            yield Found(file.parent, place)


def _only(alive: list[Found], folder: Path) -> Found:
    if len(alive) > 1:
        labels = ", ".join(found.place.label for found in alive)
        raise NoExecutor(f"The run {folder} has {len(alive)} executors: {labels}", "Name one: --executor LABEL")
    return alive[0]


def _none(run: str | None, label: str | None, runs: Path) -> NoExecutor:
    called = f"executor {label}" if label else "executor"
    if run is None:
        return NoExecutor(
            f"No running {called} is found below {runs.absolute()} (runs there: {len(_runs_in(runs))})",
            "Go where the script was started, or give the run's folder: rhapsody-parsl status /path/to/runinfo/000. "
            f"{_OVER}",
        )
    if not (folder := _folder_of(run, runs)).is_dir():
        return NoExecutor(f"There is no run {folder}", f"Runs are in {runs.absolute()}, or give the whole path")
    return NoExecutor(
        f"No {called} of {folder.absolute()} is running",
        "It has stopped, was started with control=False, or is an earlier run: leave RUN out for the newest that runs. "
        f"{_OVER}",
    )
