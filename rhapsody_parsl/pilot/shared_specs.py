"""Specs of tasks, kept once however many tasks have them."""

from collections.abc import Iterable

from msgspec.structs import force_setattr

from rhapsody_parsl.wire.messages import Task

__all__ = ("SharedSpecs",)

_MOST = 4000


class SharedSpecs:
    """The encoded specs that came last; a hundred thousand tasks at work have a few between them."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def share(self, tasks: Iterable[Task]) -> None:
        """Have tasks that nobody else holds yet share the bytes of equal specs, and their hash, which look-ups ask."""
        known = self._known
        if len(known) > _MOST:
            known.clear()
        for task in tasks:
            spec = known.setdefault(task.spec, task.spec)
            if spec is not task.spec:
                force_setattr(task, "spec", spec)
