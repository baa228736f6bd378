"""An executor's services: a block is to be there for whom waits for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import CommandService
from rhapsody_parsl.errors import ServiceNotReady
from rhapsody_parsl.executors.services import ExecutorServices


class Line:
    """Waits for nothing, and notes how many do meanwhile."""

    def __init__(self) -> None:
        self.blocks: list[Any] = []
        self.services: Any = None
        self.waiting: list[int] = []

    def wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        self.waiting.append(self.services.waiting)
        return timeout is None


def test_who_waits_for_a_service_is_counted_until_it_is_over() -> None:
    line = Line()
    line.services = services = ExecutorServices([CommandService("a", "b")], lambda _: None)
    services.begin(line, Path(), lambda: None)  # type: ignore[arg-type]  # all that it needs
    services["a"].wait_ready()
    with pytest.raises(ServiceNotReady):
        services["a"].wait_ready(timeout=1)
    assert (line.waiting, services.waiting) == ([1, 1], 0)
