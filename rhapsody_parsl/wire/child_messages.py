"""What the process of a task and the pilot say of tasks that the task submits: all but the tasks and their results."""

from typing import Any

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("AskChild", "CancelChildren", "ChildAnswer")


class AskChild(Tagged, frozen=True):
    """May a task submit tasks like this? The answer is a `ChildAnswer`.

    Attributes:
        order: A number for the answer.
        parent: The task's number.
        spec: An encoded `TaskSpec`.
        keep: Whether they live on when the task ends.
    """

    order: int
    parent: int
    spec: bytes
    keep: bool = False


class ChildAnswer(Tagged, frozen=True):
    """A task may submit tasks like this, or one of our errors as `(name, facts)`.

    Attributes:
        order: Which was asked.
        spec: The specification as the block wants it.
        most: How many of its tasks may be unfinished at once.
        error: The error's name, or "".
        facts: The error's, or what else was asked for.
        lends: Whether the task lends its cores while it waits.
    """

    order: int
    spec: bytes = b""
    most: int = 0
    error: str = ""
    facts: tuple[Any, ...] = ()
    lends: bool = False


class CancelChildren(Tagged, frozen=True):
    """Cancel these, by the numbers of the process that has submitted them."""

    tasks: list[int]
