"""What the kernel alone takes for a state in shared memory: the least that control of a turn can cost."""

import mmap
import os
import statistics
import tempfile
import time

from rhapsody_parsl.hosts.data_space import DataSpace

_REPEAT = 5
_MEMORY = "/dev/shm"  # noqa: S108 - where states lie
_SEEN = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)


def bare(size: int) -> dict[str, float]:
    """Return milliseconds of CPU time for so many bytes, medians.

    `pages`: to make the pages of a file. `copy`: to write over pages that are there. `map`: to have them seen.
    `unmap`: to take that back. `made`: to make and to map pages as values have them, huge ones where there are some.
    `fill`: to copy into these.
    """
    data = b"x" * size  # of zeros there would be no pages yet
    rounds = [_round(data) | _ours(data) for _ in range(_REPEAT)]
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


def _ours(data: bytes) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        times = [time.thread_time()]
        space = DataSpace(os.path.join(folder, "value"), len(data))
        while space.more():
            pass
        times.append(time.thread_time())
        space.fill([data])
        times.append(time.thread_time())
    return {"made": (times[1] - times[0]) * 1e3, "fill": (times[2] - times[1]) * 1e3}
