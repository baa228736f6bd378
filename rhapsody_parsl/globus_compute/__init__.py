"""A Globus Compute endpoint over the same executor: functions, MPI and models from one block.

`engine` is the class that an endpoint's YAML names, `settings` reads the YAML, `way` says how a task goes and `report`
what the endpoint tells of itself; `task` is what runs on a worker. `command` lets the endpoint's own command know the
engine, and `endpoint_folder` writes what an endpoint needs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rhapsody_parsl.globus_compute.command import register
    from rhapsody_parsl.globus_compute.engine import RhapsodyEngine

__all__ = ("RhapsodyEngine", "register")

_HOMES = {"RhapsodyEngine": "engine", "register": "command"}


def __getattr__(name: str) -> Any:
    """Resolve on first use: a worker that opens a task needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
