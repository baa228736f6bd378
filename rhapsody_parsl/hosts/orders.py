"""What the pilot and a node agent say to each other: JSON, one line per message.

Standard library only: the node agent has nothing else. Both sides drop a line that is none of these.
"""

from typing import Literal, TypedDict

from rhapsody_parsl.hosts.probe import HostFacts

__all__ = ("Order", "PutEnvironment", "PutFiles", "Said", "Signal", "Start")


class Start(TypedDict):
    """Start a guarded process.

    Attributes:
        id: Its number, ours.
        argv: The guard's options and the command.
        env: The job's variables.
        own: Variables of this process; None removes one.
        files: Private files written before, by path.
        marks: Files that tell what workers began last (see `mark`), a pattern.
        log: File for its output.
        cwd: Where it runs.
    """

    do: Literal["start"]
    id: int
    argv: list[str]
    env: dict[str, str]
    own: dict[str, str | None]
    files: dict[str, str]
    marks: str
    log: str
    cwd: str


class Signal(TypedDict):
    """End the lifeline of a process's guard, or kill the guard."""

    do: Literal["release", "kill"]
    id: int


class PutFiles(TypedDict):
    """Write private files, by path."""

    do: Literal["files"]
    files: dict[str, str]


class PutEnvironment(TypedDict):
    """These are the job's variables."""

    do: Literal["environment"]
    env: dict[str, str]


class Ping(TypedDict):
    """The pilot is there."""

    do: Literal["ping"]


Order = Start | Signal | PutFiles | PutEnvironment | Ping


class Said(TypedDict, total=False):
    """What a node agent says in a line: one of these, with what belongs to it.

    Attributes:
        hello: Its first word: what the host offers.
        no: Its first and last word: why it cannot be there.
        ended: The number of a process that has ended.
        code: Its exit code.
        why: Why it could not be started.
        begun: The task that each worker that ended with it began last.
        pong: It is there.
    """

    hello: HostFacts
    no: str
    ended: int
    code: int
    why: str
    begun: dict[str, int]
    pong: bool
