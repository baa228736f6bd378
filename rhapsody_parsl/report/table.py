"""All tasks of a run as CSV."""

import csv
import io

from rhapsody_parsl.record.run import RunRecord, TaskRecord

__all__ = ("table",)

_AS_THEY_ARE = (
    "task", "app", "runtime", "service", "block", "outcome", "failure", "submitted", "accepted", "placed", "started",
    "ended", "heard", "waited_for", "tries", "lease",
)  # fmt: skip
_HEAD = (*_AS_THEY_ARE, "nodes", "cores", "gpus", "first_token", "tokens")


def table(run: RunRecord) -> str:
    """Return a line for each task; times are seconds since the epoch, 0 where something never happened."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEAD)
    writer.writerows(map(_line, run.tasks))
    return text.getvalue()


def _line(task: TaskRecord) -> list[object]:
    shares, request = task.shares, task.request
    return [
        *(getattr(task, name) for name in _AS_THEY_ARE),
        " ".join(share.node for share in shares),
        sum(len(share.cores) for share in shares),
        sum(len(share.gpus) for share in shares),
        request.first if request else "",
        request.tokens if request else "",
    ]
