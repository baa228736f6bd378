"""What the kernel alone takes for a state in shared memory: the least that control of a turn can cost."""

import mmap
import os
import statistics
import tempfile
import time

_REPEAT = 5
_MEMORY = "/dev/shm"  # noqa: S108 - where states lie
_SEEN = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)


def bare(size: int) -> dict[str, float]:
    """Return milliseconds of CPU time for so many bytes, medians.

    `pages`: to make the pages of a file. `copy`: to write over pages that are there. `map`: to have them seen.
    `unmap`: to take that back.
    """
    data = b"x" * size  # of zeros there would be no pages yet
    rounds = [_round(data) for _ in range(_REPEAT)]
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def _round(data: bytes) -> dict[str, float]:
    with tempfile.TemporaryFile(dir=_MEMORY, buffering=0) as file:
        times = [time.thread_time()]
        os.posix_fallocate(file.fileno(), 0, len(data))
        times.append(time.thread_time())
        os.pwrite(file.fileno(), data, 0)
        times.append(time.thread_time())
        seen = mmap.mmap(file.fileno(), 0, flags=_SEEN)
        times.append(time.thread_time())
        seen.close()
        times.append(time.thread_time())
    steps = zip(("pages", "copy", "map", "unmap"), times, times[1:], strict=False)
    return {name: (end - start) * 1e3 for name, start, end in steps}
