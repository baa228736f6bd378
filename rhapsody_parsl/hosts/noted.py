"""Processes that a run has on any host, whoever starts them: they note themselves in the private folder.

Standard library only.
"""

import glob
import os
from contextlib import suppress
from pathlib import Path

__all__ = ("argv", "forget", "noted")

_SCRIPT = str(Path(__file__).with_name("noted.sh"))
_STARTED = 19
"""Place of the start time in `/proc/PID/stat`, counted from the state."""


def argv(folder: str, run: int) -> list[str]:
    """Return the arguments that come before a program, so that it is known on its host to work for a run.

    Args:
        folder: Private, on each host.
        run: The run.
    """
    return ["/bin/sh", _SCRIPT, os.path.join(folder, str(run))]


def noted(folder: str, run: int) -> set[int]:
    """Return the processes on this host that have noted that they work for a run, and live."""
    return {pid for path in _notes(folder, run) if (pid := _living(path))}


def forget(folder: str, run: int) -> None:
    """Remove the notes of a run that is over."""
    for path in _notes(folder, run):
        with suppress(OSError):
            os.unlink(path)


def _notes(folder: str, run: int) -> list[str]:
    return glob.glob(os.path.join(glob.escape(folder), f"{run}.*.noted"))


def _living(note: str) -> int:
    """Return the process id of a note; 0 when that process has ended, and its number may be another's."""
    pid = int(os.path.basename(note).split(".")[1])
    try:
        with open(note, "rb") as then, open(f"/proc/{pid}/stat", "rb") as now:
            return pid if _start_time(then.read()) == _start_time(now.read()) else 0
    except (OSError, IndexError):
        return 0


def _start_time(stat: bytes) -> bytes:
    return stat.rpartition(b")")[2].split()[_STARTED]
