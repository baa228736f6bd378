"""The specifications of tasks, decoded once each."""

from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.wire.messages import Task

__all__ = ("Specs",)

_MOST = 4_000


class Specs:
    """Those that came lately."""

    def __init__(self) -> None:
        self._known: dict[bytes, TaskSpec] = {}

    def of(self, task: Task) -> TaskSpec:
        """Return a task's."""
        spec = self._known.get(task.spec)
        if spec is None:
            if len(self._known) > _MOST:
                self._known.clear()
            spec = self._known[task.spec] = decode_spec(task.spec)
        return spec
