"""What the process of a task that lends its cores says while it waits for tasks of its own."""

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("LendCores", "TakeCores")


class LendCores(Tagged, frozen=True):
    """A task waits: others may have its cores."""

    parent: int


class TakeCores(Tagged, frozen=True):
    """A task goes on and needs its cores again; when it has had its turn the answer is a `ChildAnswer` with the cores.

    Attributes:
        order: A number for the answer.
        parent: The number of the task.
    """

    order: int
    parent: int
