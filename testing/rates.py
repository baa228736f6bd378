"""How many tasks a second the pilot's core decides on, with nothing around it."""

import time
from collections.abc import Sequence

from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.instructions import EndRun, Feed
from rhapsody_parsl.wire.messages import RESULT, Result, Task

_BATCH = 512


def drive(core: Core, tasks: Sequence[Task], seconds: float, runtime: str = "local") -> float:
    """Submit all, end each task a moment after it was fed; return tasks per second of the core's own time."""
    began = time.perf_counter()
    now, ended, running = 0.0, 0, []
    for start in range(0, len(tasks), _BATCH):
        core.submit(tasks[start : start + _BATCH], now)
        if start == 0:
            core.runtime_ready(runtime, now)
    while ended < len(tasks):
        running += [i for i in core.take() if isinstance(i, (Feed, EndRun))]
        feeds, running = [i for i in running if isinstance(i, Feed)], []
        assert feeds, f"nothing runs, but only {ended} tasks have ended"
        for feed in feeds:
            now += 1e-6
            core.done(feed.run.id, [Result(task.id, RESULT, b"", seconds) for task in feed.tasks], now)
        results, *_ = core.take_results()
        ended += len(results)
    assert core.queued == core.running == 0
    return ended / (time.perf_counter() - began)
