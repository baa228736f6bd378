"""Which runtime takes a task: a pure function of its spec and what the runtimes say of themselves."""

from collections.abc import Mapping
from typing import Protocol

from rhapsody_parsl.annotations.task_spec import MAILBOX, TURN, TaskSpec
from rhapsody_parsl.errors import UnroutableTask

__all__ = ("Refuses", "route")

_OWN = {MAILBOX, TURN}
"""Of which users know nothing."""


class Refuses(Protocol):
    """The part of a runtime that the router asks."""

    def refuse(self, spec: TaskSpec) -> str:
        """Return why it can never take the task, or ""."""


def route(spec: TaskSpec, runtimes: Mapping[str, Refuses], default: str) -> str:
    """Return the name of the runtime that takes the task: the one it names, else the default.

    Args:
        spec: The task's.
        runtimes: The block's, by name.
        default: For a task that names none.

    Raises:
        UnroutableTask: The runtime is not configured, or refuses; each one's reason is in the sentence.
    """
    name = spec.runtime or default
    runtime = runtimes.get(name)
    if runtime is None:
        known = ", ".join(sorted(runtimes.keys() - _OWN))
        raise UnroutableTask(
            "runtime", name, f"this executor has {known}", "Add it to RhapsodyExecutor(runtimes=[...])"
        )
    reason = runtime.refuse(spec)
    if not reason:
        return name
    reasons = {other: runtimes[other].refuse(spec) for other in sorted(runtimes.keys() - _OWN - {name})}
    others = "; ".join(f"{other}: {why or 'would take it'}" for other, why in reasons.items())
    raise UnroutableTask("runtime", name, reason, f"Others: {others}" if others else "")
