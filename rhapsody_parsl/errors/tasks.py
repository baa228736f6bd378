"""One task failed, or was stopped."""

from collections.abc import Iterable
from typing import Any

from rhapsody_parsl.errors.base import RhapsodyError

__all__ = (
    "FolderUnusable",
    "MemoryExceeded",
    "NoStream",
    "PayloadError",
    "RankFailed",
    "RemoteError",
    "StreamRestarted",
    "TaskCancelled",
    "WalltimeExceeded",
)


class TaskCancelled(RhapsodyError):
    """The task's future was cancelled."""

    def sentence(self) -> str:
        """Say that the user asked for it."""
        return "The task was cancelled."


class WalltimeExceeded(RhapsodyError):
    """The task ran longer than its policy allows; its whole process tree was killed."""

    def __init__(self, walltime: float) -> None:
        super().__init__(walltime)

    def sentence(self) -> str:
        """Name the limit."""
        return (
            f"The task ran longer than its walltime of {self.args[0]:g} s and was ended with all its processes. "
            "Raise Policy(walltime=...) if it needs longer."
        )


class MemoryExceeded(RhapsodyError):
    """The task held more memory than it asked for; its whole process tree was killed."""

    def __init__(self, limit: float, peak: float, host: str) -> None:
        super().__init__(limit, peak, host)

    def sentence(self) -> str:
        """Name limit, peak (both in GB) and host."""
        limit, peak, host = self.args
        return (
            f"The task held {peak:.3g} GB on {host}, more than its memory={limit:g} (GB), and was killed with all its "
            "processes. Ask for more memory, or set RhapsodyExecutor(enforce_memory=False) to count memory only."
        )


class NoStream(RhapsodyError):
    """The app's call gives no pieces to read."""

    def __init__(self, why: str) -> None:
        super().__init__(why)

    def sentence(self) -> str:
        """Say why, and what does."""
        return (
            f"The call has no stream: {self.args[0]}. Pass stream(...) the future of an app that is a generator "
            "function, or of a request with VLLM(..., stream=True), on a RhapsodyExecutor."
        )


class StreamRestarted(RhapsodyError):
    """A task that had given pieces was lost, or failed, and runs again from its start; the error has `pieces`."""

    def __init__(self, pieces: int, why: str) -> None:
        super().__init__(pieces, why)
        self.pieces = pieces

    def sentence(self) -> str:
        """Say how many pieces were read of the try before, why it ended, and how to go on."""
        pieces, why = self.args
        return (
            f"The task had given {pieces} pieces that were read when it failed: {why}. It runs again, from its first "
            "piece: drop what was read, and call stream(future) again."
        )


_PLAIN_DATA = "Return plain data, or write large and exotic objects to a file and pass its path."


class PayloadError(RhapsodyError):
    """A function, argument or result that cannot be serialized or read back."""

    def __init__(self, what: str, problem: str, remedy: str = _PLAIN_DATA) -> None:
        super().__init__(what, problem, remedy)

    def sentence(self) -> str:
        """Say which part, why, and what helps."""
        what, problem, remedy = self.args
        return f"The task's {what} could not be serialized or read: {problem}. {remedy}"


def _fact(place: int) -> Any:
    return property(lambda error: error.args[place])


class RemoteError(RhapsodyError):
    """What a task raised, as text, because the driver cannot rebuild the exception.

    Args:
        name: Name of the exception's class, with its module.
        message: The exception's message.
        traceback: As Python prints it in the task's process, with causes and notes.
        notes: The exception's notes.
        why: Why the driver cannot rebuild it.
    """

    name: str = _fact(0)
    message: str = _fact(1)
    traceback: str = _fact(2)
    notes: list[str] = _fact(3)
    why: str = _fact(4)

    def __init__(
        self, name: str, message: str, traceback: str = "", notes: Iterable[str] = (), why: str = "no reason is known"
    ) -> None:
        super().__init__(name, message, traceback, list(notes), why)

    def sentence(self) -> str:
        """Say what the task raised, and why it comes as text."""
        remedy = " Install its package at the driver too." if "ModuleNotFoundError" in self.why else ""
        return (
            f"The task raised {self.name}: {self.message}\n"
            f"The exception itself could not be had at the driver ({self.why}).{remedy} "
            f"Its traceback in the task's process:\n{self.traceback or 'none'}"
        )


class FolderUnusable(RhapsodyError):
    """The folder in which a task is to run is not there, or cannot be written."""

    def __init__(self, folder: str, host: str, problem: str) -> None:
        super().__init__(folder, host, problem)

    def sentence(self) -> str:
        """Say which folder, on which host, why, and the settings."""
        folder, host, problem = self.args
        return (
            f"The task cannot run in {folder} on {host}: {problem}. Policy(cwd=...) must be a folder on each node "
            "of the block; with sandbox=True one that can be written. Without cwd it is in the run directory."
        )


class RankFailed(RhapsodyError):
    """A rank of an MPI function failed without an exception to raise; the error has rank, size and host."""

    def __init__(self, rank: int, size: int, host: str, problem: str) -> None:
        super().__init__(rank, size, host, problem)

    def sentence(self) -> str:
        """Say which rank of how many, where, and the traceback."""
        rank, size, host, problem = self.args
        return f"Rank {rank} of {size} on {host} failed: {problem}"
