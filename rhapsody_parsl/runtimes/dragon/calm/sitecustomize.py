"""Keeps the TCP agents of Dragon 0.15 from spinning, on nodes with few cores; on `PYTHONPATH`, Python imports it first.

Their control loop calls `Queue.poll(timeout=5)`, which returns at once instead of waiting, so that each agent (two a
node and two for the front end) burns a core. Large nodes have the cores; small ones get nothing else done.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


def _calm() -> None:
    import time

    import dragon.native.queue
    import dragon.transport.tcp.client

    queue: Any = dragon.native.queue.Queue
    poll_once = queue._poll

    def poll(self: Any, timeout: float | None = None) -> bool:
        end = time.monotonic() + (3600.0 if timeout is None else timeout)
        while not (ready := bool(poll_once(self, timeout=0))) and time.monotonic() < end:
            time.sleep(0.02)
        return ready

    queue._poll = poll
    client: Any = dragon.transport.tcp.client.Client
    client.recv.__defaults__ = (1.0,)  # a receive with a timeout first spins, and it does ten a second


class _Hook(importlib.abc.MetaPathFinder):
    """Calms them when the agent's own module is about to be imported, and finds nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "dragon.transport.tcp.__main__":
            sys.meta_path.remove(self)
            _calm()
        return None


def _run_the_one_behind() -> None:
    """Run the `sitecustomize` that Python would have found without us."""
    path = [place for place in sys.path if place != os.path.dirname(__file__)]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if "dragon-tcp" in getattr(sys, "orig_argv", ()):
        sys.meta_path.insert(0, _Hook())
    _run_the_one_behind()
