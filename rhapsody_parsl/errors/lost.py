"""A task was running when what ran it died: a retry may help."""

from rhapsody_parsl.errors.base import RhapsodyError

__all__ = ("BlockExpired", "BlockLost", "DataLost", "LostTask", "NodeLost", "RuntimeLost", "WorkerLost")


class LostTask(RhapsodyError):
    """The task's process, runtime or block died before the task finished; running it again may succeed."""


IN_THE_TASK = "in the task"
"""Where a worker was not lost: its task gave up."""


class WorkerLost(LostTask):
    """The process that ran the task died."""

    def __init__(self, where: str, reason: str, log: str = "") -> None:
        super().__init__(where, reason, log)

    def sentence(self) -> str:
        """Say which worker, why, and the end of its log."""
        where, reason, log = self.args
        text = (
            f"The task was lost: {reason}. An app ends by `return` or by an exception; sys.exit() is for programs."
            if where == IN_THE_TASK
            else f"The worker that ran this task was lost ({where}): {reason}. "
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


class DataLost(LostTask):
    """The value of a reference is gone, or was deleted; tasks that take it cannot run."""

    def __init__(self, what: str, size: int, reason: str) -> None:
        super().__init__(what, size, reason)

    def sentence(self) -> str:
        """Say which value, how large it was, and why."""
        what, size, reason = self.args
        return (
            f"The value of reference {what} ({size} bytes) is gone: {reason}. Make it again: run the task that gave "
            "it, or call executor.put. Keep the Ref as long as the value is needed."
        )
