"""How a task is mapped to the block, as a checked value."""

from typing import Literal

import msgspec

__all__ = (
    "FIRST_HOST",
    "Isolation",
    "OnLoss",
    "Output",
    "Placement",
    "PolicyValue",
    "ResultWay",
    "Returns",
    "Signal",
    "Unanswered",
)

Placement = Literal["pack", "spread", "exclusive"]
Isolation = Literal["shared", "process"]
OnLoss = Literal["fail", "rerun"]
Returns = Literal["root", "all"]
Signal = Literal["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"]
Output = Literal["code", "text"]
Unanswered = Literal["again", "fail"]
ResultWay = Literal["value", "reference"]

FIRST_HOST = "first_host"
"""Label of the nodes on a block's first host, where the pilot is."""


class PolicyValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The execution policy of one task, checked and complete.

    Attributes:
        priority: Lower runs first, as in Parsl.
        placement: `pack` fills nodes, `spread` takes the emptiest, `exclusive` takes whole nodes.
        near: A service name or an affinity key; tasks with one key go to one node while it has room.
        labels: Labels the node must carry; each node carries its own name, too, and those of the block's first host
            carry `first_host`.
        isolation: `shared` runs in a resident process, `process` in a fresh one; the default where a function uses GPUs
            on ranks.
        walltime: Seconds until the task's whole process tree is ended; 0 is none.
        on_loss: What to do when the process under the task dies.
        returns: For an MPI function: rank 0's result, or the list of all ranks'.
        signal: What the task's processes get before the block ends; "" is nothing.
        notice: How many seconds before.
        env: Environment variables for its tasks, as pairs in order.
        cwd: Their working directory, relative to the block's; "" for that.
        sandbox: Whether each has a folder of its own, below `cwd`, else in the block's folder of the run directory.
        output: For a bash app: its exit code, or that with what its program wrote. The driver's, as the next two.
        output_limit: Bytes that are kept of each of the program's streams.
        check: Whether an exit code other than zero raises.
        result: Whether the result travels to the driver, or stays in the block. The driver's, as the next one.
        reference_above: Bytes; a result that takes no more travels all the same.
        concurrency: How many of them a worker runs at once, on one event loop and one lease.
        unanswered: Of an agent: what becomes of the message at which its process was lost.
        lend: Whether others have its cores while it waits for tasks of its own.
    """

    priority: float = 0.0
    placement: Placement = "pack"
    near: str = ""
    labels: tuple[str, ...] = ()
    isolation: Isolation = "shared"
    walltime: float = 0.0
    on_loss: OnLoss = "fail"
    returns: Returns = "root"
    signal: Signal | Literal[""] = ""
    notice: float = 60.0
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = ""
    sandbox: bool = False
    output: Output = "code"
    output_limit: int = 65_536
    check: bool = True
    result: ResultWay = "value"
    reference_above: int = 0
    concurrency: int = 1
    unanswered: Unanswered = "again"
    lend: bool = False
