"""`Agent`: the part of an annotation that says how a class lives in the block, and answers messages there."""

from dataclasses import dataclass
from typing import Any

import msgspec

from rhapsody_parsl.annotations.decorator import ATTRIBUTE, Part
from rhapsody_parsl.annotations.limits import check_name
from rhapsody_parsl.annotations.policy import Signal, Unanswered
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.spelling import spelled

__all__ = ("Agent", "annotation_of", "named")


@spelled
@dataclass(frozen=True, slots=True)
class Agent(Part):
    """A class whose objects live in the block: each in a task of its own, which messages reach by its methods' names.

    When its process is lost it starts again, and `restore(state)` gets what `checkpoint()` returned last.

    Attributes:
        cores: Cores to lease; default 0: it waits for messages most of the time.
        gpus: GPUs to lease: whole, or a share below 1; default 0.
        memory: GB to lease, and the agent's limit; default 0, neither counted nor limited.
        unanswered: What becomes of the message at which its process was lost: `again` (default) delivers it a second
            time, `fail` fails it. Those behind it are delivered in any case.
        signal: What tells its process that the block ends soon; default `SIGUSR1`.
    """

    cores: int = 0
    gpus: float | None = None
    memory: float | None = None
    unanswered: Unanswered | None = None
    signal: Signal = "SIGUSR1"

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of `parsl_resource_specification` that this part stands for."""
        return {"on_loss": "rerun", **Part.as_dict(self)}


def annotation_of(kind: type) -> dict[str, Any]:
    """Return what a class says of itself; one that is not annotated is an agent that takes no core."""
    return {**Agent().as_dict(), **getattr(kind, ATTRIBUTE, {})}


def named(spec: TaskSpec, name: str) -> TaskSpec:
    """Return the specification of an agent's task.

    Args:
        spec: What its annotation asks for.
        name: The agent's.

    Raises:
        InvalidTask: No agent can live like this, or be called so.
    """
    check_name("name", name)
    if spec.resources.is_mpi or spec.service:
        raise InvalidTask("agent", spec.name, "it is one process", "Have its methods submit gangs and requests")
    if spec.policy.isolation != "shared":
        remedy = "Drop it: an agent has a worker of its own, for as long as it lives"
        raise InvalidTask("isolation", spec.policy.isolation, "an agent is in a resident process", remedy)
    return msgspec.structs.replace(spec, mailbox=name)
