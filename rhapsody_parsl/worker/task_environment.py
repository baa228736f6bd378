"""What a task finds around it: cores, environment variables, and all that a task may change of its process."""

import os
import signal
import sys

from rhapsody_parsl.hosts.process_tree import pin
from rhapsody_parsl.wire.messages import Work
from rhapsody_parsl.worker.footing import ARGV
from rhapsody_parsl.worker.process_state import ProcessState

__all__ = ("TaskEnvironment",)

_SHORT = 1e-3
"""Seconds of a task after which less is looked at than it could change: that would take a part of its time."""


class TaskEnvironment:
    """Those of this process; they stay from one piece of work to the next, for most want what the last one had.

    Made where tasks are to start: the working directory, the umask and the process's state stay as they are then.
    """

    def __init__(self) -> None:
        self._cores: tuple[int, ...] = ()
        self._wanted: dict[str, str] = {}
        self._encoded: dict[bytes, bytes] = {}
        self._before: dict[str, str | None] = {}
        self._here = os.open(".", os.O_RDONLY)
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._state = ProcessState()
        self._mask = os.sched_getaffinity(0)
        self._variables = _variables().copy()

    def suit(self, work: Work) -> None:
        """Make them what the work wants: what only earlier work wanted, or a task changed, is put right."""
        if work.cores != self._cores:
            pin(work.cores)
            self._cores, self._mask = work.cores, os.sched_getaffinity(0)
        if work.env != self._wanted:
            self._put_back(work.env)
        if not self._encoded.items() <= _variables().items():
            os.environ.update(work.env)
            self._variables = _variables().copy()

    def put_right(self, seconds: float = 1.0) -> bool:
        """Undo what a task did to its process: the next one must not depend on it.

        Args:
            seconds: That the task took, if others wait behind it. After a short one a microsecond or two is spent.

        Returns:
            False when not all could be undone: no other task should run here.
        """
        try:
            os.fchdir(self._here)
            os.umask(self._umask)
            signal.alarm(0)
            if sys.argv != _ARGV:
                sys.argv = list(ARGV)
            os.environ = _environ  # noqa: B003 - the one that there was
            if _variables() != self._variables:
                self._set_variables()
            return seconds < _SHORT or self._put_state_right()
        except Exception:  # noqa: BLE001 - a task may have broken whatever it could reach
            return False

    def _put_state_right(self) -> bool:
        if os.sched_getaffinity(0) != self._mask:
            os.sched_setaffinity(0, self._mask)
        return self._state.put_back()

    def _set_variables(self) -> None:
        """Give each variable that was there its value again; what a task added stays, for modules do that once."""
        for name, value in self._variables.items():
            if _variables().get(name) != value:
                os.environb[name] = value
        self._variables = _variables().copy()

    def _put_back(self, wanted: dict[str, str]) -> None:
        """Put back what no one wants any more, and note what stands where something new is wanted."""
        for name in self._before.keys() - wanted.keys():
            value = self._before.pop(name)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for name in wanted.keys() - self._before.keys():
            self._before[name] = os.environ.get(name)
        self._wanted = dict(wanted)
        self._encoded = {os.fsencode(name): os.fsencode(value) for name, value in wanted.items()}
        self._variables = _variables().copy()


_ARGV = list(ARGV)
_environ = os.environ


def _variables() -> dict[bytes, bytes]:
    """Return what is below `os.environ`: to compare that itself decodes each name."""
    return os.environ._data  # type: ignore[attr-defined, no-any-return]  # private, and the same since Python 3.2
