"""What a task finds around it: the cores its process is bound to, and environment variables."""

import os

from rhapsody_parsl.wire.messages import Work
from rhapsody_parsl.worker.process_tree import pin

__all__ = ("Surroundings",)


class Surroundings:
    """Those of this process; they stay from one piece of work to the next, for most want what the last one had."""

    def __init__(self) -> None:
        self._cores: tuple[int, ...] = ()
        self._wanted: dict[str, str] = {}
        self._before: dict[str, str | None] = {}

    def suit(self, work: Work) -> None:
        """Make them what the work wants: what only earlier work wanted, or a task changed, is put right."""
        if work.cores != self._cores:
            pin(work.cores)
            self._cores = work.cores
        if work.env != self._wanted:
            self._put_back(work.env)
        for name, value in work.env.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

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
