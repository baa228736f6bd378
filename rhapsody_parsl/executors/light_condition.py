"""A condition of few objects: a driver has one for each task, and Python's collector looks at all of them again."""

import threading
from collections import deque
from typing import Any

__all__ = ("LightCondition",)


class LightCondition(threading.Condition):
    """The same as Python's own, over a lock of its own.

    Python's has six objects more for the collector: methods of its lock, copied, and a queue of those who wait. With
    these a future took four times as long to be made and to end.
    """

    _waiters: Any = ()  # nobody waits for most

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()

    def acquire(self, *how: Any, **more: Any) -> bool:
        """Take the lock."""
        taken: bool = self._lock.acquire(*how, **more)
        return taken

    def release(self) -> None:
        """Leave the lock."""
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until notified, some seconds at most; return whether one was."""
        if not self._waiters:
            self._waiters = deque()
        return super().wait(timeout)

    # --- what `threading.Condition` asks of its lock ---------------------------------------------------------------

    def _release_save(self) -> Any:
        return self._lock._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()
        return owned
