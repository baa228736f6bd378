"""What goes wrong between a person at a terminal and a running executor."""

from rhapsody_parsl.errors.base import RhapsodyError

__all__ = ("NoExecutor",)


class NoExecutor(RhapsodyError):
    """No running executor can be reached from here."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)

    def sentence(self) -> str:
        """Say where it was looked for, what was found there, and what to do."""
        problem, remedy = self.args
        return f"{problem}. {remedy}."
