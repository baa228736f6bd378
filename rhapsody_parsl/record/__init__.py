"""The record of a run: one file per executor, with the times of each task, who held what, and how the blocks were.

The driver's `Recorder` notes what pilots tell and what becomes of tasks; a `Journal` writes that on a thread of its
own. `read` opens such a file, also of a run that goes on, or that was killed.
"""

from rhapsody_parsl.record.reading import find, read
from rhapsody_parsl.record.run import (
    BlockRecord,
    NodeRecord,
    RequestRecord,
    RunRecord,
    Sample,
    ServiceMoment,
    TaskRecord,
    UseRecord,
)

__all__ = (
    "BlockRecord", "NodeRecord", "RequestRecord", "RunRecord", "Sample", "ServiceMoment", "TaskRecord", "UseRecord",
    "find", "read",
)  # fmt: skip
