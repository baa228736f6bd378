"""A block, or a runtime of it, lacks what it needs."""

from rhapsody_parsl.errors.base import RhapsodyError

__all__ = (
    "BackendFailed",
    "IncompatiblePeer",
    "MissingPackage",
    "RuntimeUnavailable",
    "TooFewOpenFiles",
    "TooFewThreads",
    "Unwritable",
)


class MissingPackage(RhapsodyError):
    """The block's environment lacks what a runtime needs."""

    def __init__(self, package: str, extra: str, where: str) -> None:
        super().__init__(package, extra, where)

    def sentence(self) -> str:
        """Name the extra to install."""
        package, extra, where = self.args
        return (
            f"{package} is not installed in the block's Python environment ({where}). "
            f"Install it there with: pip install 'rhapsody-parsl[{extra}]'"
        )


class RuntimeUnavailable(RhapsodyError):
    """A configured runtime could not be started in the block."""

    def __init__(self, runtime: str, reason: str) -> None:
        super().__init__(runtime, reason)

    def sentence(self) -> str:
        """Say which and why."""
        return f"The {self.args[0]} runtime cannot run in this block: {self.args[1]}"


class BackendFailed(RhapsodyError):
    """A backend process exited, or was killed, before it was ready."""

    def __init__(self, backend: str, reason: str, log: str = "") -> None:
        super().__init__(backend, reason, log)

    def sentence(self) -> str:
        """Say which backend, why, and the end of its log."""
        backend, reason, log = self.args
        text = f"{backend} did not start: {reason}."
        return f"{text} The end of its log: {log}" if log else text


class TooFewOpenFiles(RhapsodyError):
    """The hard limit of open files is too low for a process of this package."""

    def __init__(self, what: str, missing: int, limit: int) -> None:
        super().__init__(what, missing, limit)

    def sentence(self) -> str:
        """Say who needs how many, the limit and the remedy."""
        what, missing, limit = self.args
        return (
            f"{what} needs {limit + missing} open files, and the hard limit is {limit} (ulimit -Hn): "
            "raise it, or use smaller blocks."
        )


class TooFewThreads(RhapsodyError):
    """The user may start no more processes and threads, and the executor needs some."""

    def __init__(self, what: str, needed: int) -> None:
        super().__init__(what, needed)

    def sentence(self) -> str:
        """Say who needs how many, and the remedy."""
        what, needed = self.args
        return (
            f"{what} needs {needed} threads, and this user may start no more processes and threads: "
            "raise the limit (ulimit -u), or the process' memory (ulimit -v), or stop some."
        )


class Unwritable(RhapsodyError):
    """A folder that the start needs cannot be written."""

    def __init__(self, folder: str, purpose: str, problem: str, setting: str) -> None:
        super().__init__(folder, purpose, problem, setting)

    def sentence(self) -> str:
        """Name the folder, what it is for, why it cannot be written, and the setting."""
        folder, purpose, problem, setting = self.args
        return f"{folder} takes {purpose}, and cannot be written: {problem}. Make room there, or set {setting}."


class IncompatiblePeer(RhapsodyError):
    """The driver and a block cannot work together: their versions of this package or of Python differ."""

    def __init__(self, ours: str, theirs: str, remedy: str = "Install the same rhapsody-parsl on both sides.") -> None:
        super().__init__(ours, theirs, remedy)

    def sentence(self) -> str:
        """Name both versions, and the remedy."""
        ours, theirs, remedy = self.args
        return f"The driver runs {ours}, the block {theirs}. {remedy}"
