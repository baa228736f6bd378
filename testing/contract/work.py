"""What the suite's tasks do: in a worker, on each rank of a gang, or as the body of a request.

What they return reads the same from both ends, for the stand-in of a model answers a prompt with its reverse.
"""

import os
import time
from pathlib import Path
from typing import Any

__all__ = ("fail", "linger", "say", "shell")


def say(word: str, times: int = 1, comm: Any = None) -> str:
    """Return a word, repeated."""
    if comm is not None:
        comm.Barrier()
    return word * times


def fail(word: str, comm: Any = None) -> None:
    """Fail, on every rank."""
    raise ValueError(word)


def linger(folder: str, word: str = "aha", comm: Any = None) -> str:
    """Say in a folder who we are, and return a word once there is leave."""
    if comm is None or comm.Get_rank() == 0:
        new = Path(folder, f"{os.getpid()}.new")
        new.write_text(str(os.getpid()))
        new.rename(Path(folder, "begun"))
    while not Path(folder, "leave").exists():
        time.sleep(0.01)
    return word


def shell(line: str) -> str:
    """Be a bash app."""
    return line
