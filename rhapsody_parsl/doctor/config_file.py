"""A user's configuration file: whether it loads, and whether its executors could work."""

import runpy
from collections.abc import Iterator
from pathlib import Path

from parsl import Config

from rhapsody_parsl.cluster.batch import NoAllocation
from rhapsody_parsl.doctor.finding import Finding, problem
from rhapsody_parsl.executors.executor import RhapsodyExecutor
from rhapsody_parsl.site.text import UNSAID

__all__ = ("check_file",)

_AREA = "configuration"
_BLANKS = "ACCOUNT", "PARTITION", "QUEUE", "PROJECT", "/path/to/", UNSAID


def check_file(path: Path) -> Iterator[Finding]:
    """Yield what is in a file with a `config`.

    Args:
        path: Of a Python file, as `rhapsody-parsl init` writes it; it is run.
    """
    try:
        config = runpy.run_path(str(path)).get("config")
        there = config.executors if isinstance(config, Config) else []
    except Exception as error:  # noqa: BLE001 - a user's file may raise anything
        here = isinstance(error, NoAllocation)  # the file is for within a job
        yield problem(_AREA, str(path), error, "warning" if here else "problem")
        return
    executors = [each for each in there if isinstance(each, RhapsodyExecutor)]
    if not executors:
        said = "has no `config` with a RhapsodyExecutor in it"
        yield Finding(area=_AREA, what=str(path), said=said, mark="problem", remedy="`rhapsody-parsl init` writes one")
        return
    for executor in executors:
        runtimes = ", ".join(runtime.name for runtime in executor.runtimes)
        said = f"{type(executor.provider).__name__}, {runtimes}; services: {', '.join(executor.services) or 'none'}"
        yield Finding(area=_AREA, what=executor.label, said=said)
    text = path.read_text()
    if left := [blank for blank in _BLANKS if blank in text]:
        said = f"still has `{'`, `'.join(left)}` in it"
        yield Finding(area=_AREA, what=str(path), said=said, mark="warning", remedy="Write your own in their place")
