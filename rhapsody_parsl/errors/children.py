"""A task may not submit a task to its own block."""

from rhapsody_parsl.errors.base import InvalidTask, RhapsodyError

__all__ = ("NeedsItsParent", "NoParent", "TooDeep", "TooManyChildren")


class NoParent(RhapsodyError):
    """Somebody asked for the block who is no task's process, or whose task has finished."""

    def __init__(self, why: str) -> None:
        super().__init__(why)

    def sentence(self) -> str:
        """Say why, and who may ask."""
        return (
            f"rhapsody_parsl.block() works inside a running task of RhapsodyExecutor: {self.args[0]}. "
            "At the driver, call the app, or executor.submit(...)."
        )


class NeedsItsParent(InvalidTask):
    """A task would wait for what its parent holds until the parent finishes, and end with it."""


class TooDeep(RhapsodyError):
    """Tasks submitted tasks that submitted tasks, and so on, further than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)

    def sentence(self) -> str:
        """Name the limit and the setting."""
        return (
            f"This task is {self.args[0]} tasks below one of the driver's, and may submit none: "
            f"RhapsodyExecutor(max_depth={self.args[0]}) is the limit. Raise it, or end the recursion."
        )


class TooManyChildren(RhapsodyError):
    """A task has too many unfinished tasks of its own."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)

    def sentence(self) -> str:
        """Name the limit and the setting."""
        return (
            f"This task has {self.args[0]} unfinished tasks of its own: RhapsodyExecutor(max_children={self.args[0]}) "
            "is the limit. Wait for some of them before you submit more, or raise it."
        )
