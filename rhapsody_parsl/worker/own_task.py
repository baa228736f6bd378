"""What a fresh process is told of its task; neither the task nor the programs that it starts see that."""

import json
import os

__all__ = ("VARIABLE", "OwnTask", "take_in")

VARIABLE = "RHAPSODY_TASK"
"""Tells a fresh process its task's number, and where the pilot is."""


class OwnTask:
    """That of this process.

    Attributes:
        stated: What the variable said; "" where this is no fresh process, and once it has been used.
        endpoint: Where the pilot is, or its agent on this host; "" as above.
        number: The task's.
        pid: Of the process that was told: a child that it forked was not.
    """

    stated = endpoint = ""
    number = pid = 0


def take_in() -> None:
    """Be a fresh process."""
    OwnTask.stated, OwnTask.pid = os.environ.pop(VARIABLE, ""), os.getpid()
    if OwnTask.stated:
        OwnTask.number, OwnTask.endpoint = json.loads(OwnTask.stated)
