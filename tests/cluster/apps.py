"""What the scenarios send to the blocks."""

import os
import time
from pathlib import Path


def where() -> tuple[str, list[int]]:
    """Return host and affinity mask."""
    return os.uname().nodename, sorted(os.sched_getaffinity(0))


def meet(folder: str, count: int, seconds: float = 60) -> tuple[str, list[int]]:
    """Wait until `count` of us are there at once; say where we are."""
    place = Path(folder)
    (place / f"{os.uname().nodename}-{os.getpid()}").touch()
    deadline = time.monotonic() + seconds
    while len(list(place.iterdir())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {sorted(path.name for path in place.iterdir())} came")
        time.sleep(0.05)
    return where()
