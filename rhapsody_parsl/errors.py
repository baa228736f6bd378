"""Every exception of the package: built from facts, printed as a sentence with the remedy.

Two kinds matter. An *invalid* request can never succeed as it is: `submit` raises it, and a retry is useless. A *lost*
task was running when its process, runtime or block died: a retry may help.

All of them pickle, and all of them travel between processes as `(class name, facts)`: see `wire.failures`.
"""

from collections.abc import Iterable
from typing import Any

from rhapsody_parsl.wording import clip, shown, tellable

__all__ = (
    "BackendFailed",
    "BlockExpired",
    "BlockLost",
    "IncompatiblePeer",
    "InvalidTask",
    "LostTask",
    "MemoryExceeded",
    "MissingPackage",
    "NodeLost",
    "PayloadError",
    "RankFailed",
    "RemoteError",
    "RequestKilledEngine",
    "RhapsodyError",
    "RuntimeLost",
    "RuntimeUnavailable",
    "ServiceFailed",
    "ServiceNotFound",
    "ServiceNotReady",
    "ServiceRequestFailed",
    "TaskCancelled",
    "TooFewOpenFiles",
    "TooFewThreads",
    "UnroutableTask",
    "Unwritable",
    "WalltimeExceeded",
    "WorkerLost",
)


class RhapsodyError(Exception):
    """Base class of all errors of this package; `args` are the facts, `str()` is the sentence."""

    def __str__(self) -> str:
        """Return the sentence; subclasses override `sentence`."""
        return self.sentence()

    def sentence(self) -> str:
        """Say what happened and what to do about it."""
        return " ".join(str(fact) for fact in self.args)


class InvalidTask(RhapsodyError):
    """A request that can never run as written: key, value, what is allowed, and the remedy.

    The executor raises it as Parsl's `InvalidResourceSpecification`. A value that is long or no plain data is kept as
    its text, so that every error is small and can be sent.
    """

    def __init__(self, key: str, value: Any, problem: str, remedy: str = "") -> None:
        key, value = clip(key), tellable(value)
        Exception.__init__(self, key, value, problem, remedy)  # not super(): a subclass has Parsl's error behind us
        self.key, self.value, self.problem, self.remedy = key, value, problem, remedy

    def sentence(self) -> str:
        """Name key, value, limit and remedy."""
        text = f"{self.key}={shown(self.value)}: {self.problem}"
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."


class UnroutableTask(InvalidTask):
    """No configured runtime of the block can ever take the task; `problem` lists the reason of each."""


class LostTask(RhapsodyError):
    """The task's process, runtime or block died before the task finished; running it again may succeed."""


class WorkerLost(LostTask):
    """The process that ran the task died."""

    def __init__(self, where: str, reason: str, log: str = "") -> None:
        super().__init__(where, reason, log)

    def sentence(self) -> str:
        """Say which worker, why, and the end of its log."""
        where, reason, log = self.args
        text = (
            f"The worker that ran this task was lost ({where}): {reason}. "
            "The task may have run in part. Out of memory and crashes in compiled code are the usual causes; "
            "set Policy(on_loss='rerun') or Parsl's retries to run it again."
        )
        return f"{text} The end of its log: {log}" if log else text


class RuntimeLost(LostTask):
    """A whole runtime (a Dragon runtime, an MPI world, a vLLM replica) died while it held the task."""

    def __init__(self, runtime: str, reason: str, log: str = "") -> None:
        super().__init__(runtime, reason, log)

    def sentence(self) -> str:
        """Say which runtime, why, and the end of its log."""
        runtime, reason, log = self.args
        text = (
            f"The {runtime} runtime was lost while it held this task: {reason}. It is started again on the next "
            "need; set Policy(on_loss='rerun') or Parsl's retries to run the task again."
        )
        return f"{text} The end of its log: {log}" if log else text


class NodeLost(LostTask):
    """A node of the block was lost while it held the task, or the task does not fit into what is left."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)

    def sentence(self) -> str:
        """Say which node and why."""
        node, reason = self.args
        return (
            f"Node {node} was lost, and this task with it: {reason}. The block goes on with its other nodes; "
            "set Policy(on_loss='rerun') or Parsl's retries to run the task again."
        )


class BlockLost(LostTask):
    """The block (batch job) stopped, or its pilot became silent, while it held the task."""

    def __init__(self, block: str, reason: str, log: str = "") -> None:
        super().__init__(block, reason, log)

    def sentence(self) -> str:
        """Say which block, why, and the end of its standard error."""
        block, reason, log = self.args
        text = f"Block {block} was lost while it held this task: {reason}. Parsl's retries run it in another block."
        return f"{text} End of the block's standard error: {log}" if log else text


class BlockExpired(BlockLost):
    """The block's job reached the end of its time while the block held the task."""

    def sentence(self) -> str:
        """Say which block, how it ended, and what helps."""
        block, reason, _ = self.args
        return (
            f"The job of block {block} reached the end of its time while it held this task: {reason}. Parsl's retries "
            "run it in another block. Raise the provider's walltime; or set Policy(walltime=...), and the task starts "
            "only where it can finish; or have it write a checkpoint: Policy(signal='SIGUSR1', on_loss='rerun')."
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
        return "{} takes {}, and cannot be written: {}. Make room there, or set {}.".format(*self.args)


class RankFailed(RhapsodyError):
    """A rank of an MPI function failed without an exception to raise; the error has rank, size and host."""

    def __init__(self, rank: int, size: int, host: str, problem: str) -> None:
        super().__init__(rank, size, host, problem)

    def sentence(self) -> str:
        """Say which rank of how many, where, and the traceback."""
        return "Rank {} of {} on {} failed: {}".format(*self.args)


class ServiceNotFound(InvalidTask):
    """A task names a service that the executor does not have."""


class ServiceFailed(RhapsodyError):
    """A service cannot start, or died and was not started again."""

    def __init__(self, service: str, reason: str, log: str = "") -> None:
        super().__init__(service, reason, log)

    def sentence(self) -> str:
        """Say which service, why, and the end of its log."""
        service, reason, log = self.args
        text = f"Service '{service}' is not available: {reason}."
        return f"{text} The end of its log: {log}" if log else text


class ServiceNotReady(RhapsodyError):
    """A service was not ready, or had not changed as it was told, within the time that somebody waited for it."""

    def __init__(self, service: str, setting: str, seconds: float, state: str) -> None:
        super().__init__(service, setting, seconds, state)

    def sentence(self) -> str:
        """Say which service, the name of the setting, the limit, and how the service is."""
        return "Service '{}' was not ready within {}={:g} s: {}.".format(*self.args)


class ServiceRequestFailed(RhapsodyError):
    """A service answered one request with an error."""

    def __init__(self, service: str, problem: str) -> None:
        super().__init__(service, problem)

    def sentence(self) -> str:
        """Say which service and what it answered."""
        return f"Service '{self.args[0]}' refused the request: {self.args[1]}"


class RequestKilledEngine(ServiceRequestFailed):
    """Engines of a service died under one request, the last of them with nothing else in flight."""

    def __init__(self, service: str, deaths: int, reason: str, log: str = "") -> None:
        RhapsodyError.__init__(self, service, deaths, reason, log)

    def sentence(self) -> str:
        """Say which service, how many engines, how the last ended, the end of its log and what to do."""
        service, deaths, reason, log = self.args
        text = (
            f"Service '{service}' gave this request up: {deaths} engines died under it, the last ones while they held "
            f"nothing else. The last: {reason}. Other requests were asked again without it. Ask for less (a shorter "
            "prompt, fewer tokens), or find the cause in the log. Equal requests fail at once during restart_window."
        )
        return f"{text} The end of the engine's log: {log}" if log else text


class IncompatiblePeer(RhapsodyError):
    """The driver and a block cannot work together: their versions of this package or of Python differ."""

    def __init__(self, ours: str, theirs: str, remedy: str = "Install the same rhapsody-parsl on both sides.") -> None:
        super().__init__(ours, theirs, remedy)

    def sentence(self) -> str:
        """Name both versions, and the remedy."""
        return "The driver runs {}, the block {}. {}".format(*self.args)
