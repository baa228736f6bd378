"""All tasks of a run as CSV, and all requests at its front doors."""

import csv
import io

from rhapsody_parsl.record.run import RunRecord, TaskRecord

__all__ = ("requests_table", "table")

_AS_THEY_ARE = (
    "task", "app", "runtime", "service", "block", "outcome", "failure", "submitted", "accepted", "placed", "started",
    "ended", "heard", "waited_for", "tries", "lease",
)  # fmt: skip
_HEAD = (*_AS_THEY_ARE, "nodes", "cores", "gpus", "first_token", "tokens")


_REQUEST = (
    "service", "key", "path", "block", "node", "outcome", "status", "failure", "words", "came", "waited", "ended",
    "tries", "trace",
)  # fmt: skip
_REQUEST_TIMES = "asked", "first", "prompt", "tokens", "counted", "replica"


def requests_table(run: RunRecord) -> str:
    """Return a line for each request at a front door; `waited` and `first` are seconds, other times as in `table`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_REQUEST, *_REQUEST_TIMES))
    for request in run.requests:
        facts = [getattr(request, name) for name in _REQUEST]
        writer.writerow(facts + [getattr(request.request, name, "") for name in _REQUEST_TIMES])
    return text.getvalue()


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
