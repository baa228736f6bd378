"""The record of a run cannot be had."""

from rhapsody_parsl.errors.base import RhapsodyError

__all__ = ("NoRecord",)


class NoRecord(RhapsodyError):
    """There is no record of a run here, or the file is none."""

    def __init__(self, path: str, problem: str = "") -> None:
        super().__init__(path, problem)

    def sentence(self) -> str:
        """Say where it was looked for, and what a record is."""
        path, problem = self.args
        if problem:
            return f"{path} is no record of a run that this version reads: {problem}."
        return (
            f"There is no record of a run in {path}. "
            "Give the run's directory (runinfo/000), or the file record.msgpack in the executor's folder there. "
            "An executor with record=False writes none."
        )
