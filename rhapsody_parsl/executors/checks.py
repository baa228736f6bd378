"""What the constructor refuses: values that a block could not be started or kept with."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from parsl import launchers
from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.annotations.limits import LONGEST_TIME, MOST, check_positive, check_range, check_text
from rhapsody_parsl.cluster.job_end import seconds_of
from rhapsody_parsl.cluster.node_launcher import check_node_launcher
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import find, own
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.wording import nearest

__all__ = (
    "OTHER_NUMBERS",
    "check_default",
    "check_label",
    "check_numbers",
    "check_provider",
    "check_python",
    "check_runtimes",
    "check_scripts",
    "check_words",
    "walltime_of",
)

_IN_A_LABEL = "._-+@:=,%"
_LONGEST_LABEL = 100
_ADDRESS = re.compile(r"[A-Za-z0-9._-]{1,253}")
_FOR_A_SHELL = re.compile(r"""[\s'"\\`$&;|<>()*?]""")
_LEAST_PERIOD = 0.01
_LEAST_SECONDS = 1
"""Of silence, for a busy process may be late by tenths; and of a block's work."""
_MOST_MEMORY = 1e9
_BLANKS = {"python", "config", "block_id"}
_BRACES = "Blanks are {python}, {config} and {block_id}; write any other brace twice"
_ONE_A_NODE = (
    launchers.SingleNodeLauncher,
    launchers.SrunLauncher,
    launchers.SrunMPILauncher,
    launchers.AprunLauncher,
    launchers.JsrunLauncher,
    launchers.MpiExecLauncher,
    launchers.MpiRunLauncher,
    launchers.GnuParallelLauncher,
)
"""Parsl's launchers that start a command once for each node."""


def check_label(label: str) -> None:
    """Check the executor's name, of which files and the jobs' scripts have theirs.

    Raises:
        InvalidTask: A shell or a path takes it for something else, or a file's name would be too long.
    """
    right = label not in {"", ".", ".."} and all(c.isalnum() or c in _IN_A_LABEL for c in label)
    if not right or len(label.encode()) > _LONGEST_LABEL:
        raise InvalidTask(
            "label", label, f"letters, digits and {' '.join(_IN_A_LABEL)} only, and {_LONGEST_LABEL} bytes at most",
            "It names the run's folder and the jobs' scripts",
        )  # fmt: skip


def check_scripts(provider: ExecutionProvider | None) -> None:
    """Check where the jobs' scripts will lie.

    Raises:
        InvalidTask: A shell takes the path for something else: no job would start, and nobody would be told.
    """
    folder = str(getattr(provider, "script_dir", None) or "")
    if found := _FOR_A_SHELL.search(folder):
        raise InvalidTask(
            "run_dir", folder, f"{found[0]!r} in its path means something to a shell, and Parsl's providers do not "
            "quote the paths of jobs' scripts", "Give parsl.Config(run_dir=...) another path",
        )  # fmt: skip


def check_runtimes(given: Any, services: Sequence[ServiceConfig] = ()) -> tuple[RuntimeConfig, ...]:
    """Return the runtimes as a tuple.

    Args:
        given: The user's.
        services: Those of the executor; where one of them takes requests, there may be no runtime beside.

    Raises:
        InvalidTask: It is no list of runtimes, is empty, has one kind twice, or one that no block can import.
    """
    several = type(given) is list or type(given) is tuple
    items: Sequence[Any] = tuple(given) if several else ()
    if not items and not (several and any(service.takes_requests for service in services)):
        raise InvalidTask("runtimes", given, "a list of at least one is needed", "Write runtimes=[DragonRuntime()]")
    for item in items:
        if not issubclass(type(item), RuntimeConfig) or item.takes.requests:
            raise InvalidTask("runtimes", given, "a list of runtimes is needed", _instead_of(item))
        _check_importable(type(item))
    names = [runtime.name for runtime in items]
    if len(set(names)) != len(names):
        raise InvalidTask("runtimes", names, "at least one, and each kind once")
    return tuple(items)


def _check_importable(kind: type[RuntimeConfig]) -> None:
    """Refuse a class that only this process has."""
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        remedy = "Move the class to the top level of a module that is installed, or on PYTHONPATH, in the block"
        raise InvalidTask("runtimes", kind.__name__, "a block cannot import it from where it is", remedy)


def check_python(runtimes: Sequence[RuntimeConfig], ours: bool) -> None:
    """Refuse a runtime that this Python cannot run.

    Args:
        runtimes: The user's.
        ours: Whether the blocks are known to run our own Python; else they say so themselves.

    Raises:
        InvalidTask: One of them does not support this Python.
    """
    for runtime in runtimes if ours else ():
        why, remedy = runtime.misfit()
        if why:
            raise InvalidTask("runtimes", type(runtime).__name__, why, remedy)


def _instead_of(item: Any) -> str:
    if isinstance(item, ServiceConfig):
        return f"Write services=[{type(item).__name__}(...)]"
    kind = find(item.lower()) if type(item) is str else None
    kinds = sorted(each.__name__ for each in own() if not each.takes.requests)
    return f"Write {kind.__name__}()" if kind else f"Kinds are {', '.join(kinds)}"


def check_default(default: str, runtimes: Sequence[RuntimeConfig]) -> None:
    """Check the default runtime's name.

    Raises:
        InvalidTask: There is none of that name.
    """
    names = [runtime.name for runtime in runtimes]
    if default not in names:
        raise InvalidTask("default_runtime", default, f"runtimes has {', '.join(names)}", nearest(default, names))


_MOST_PORT = 65_535


def check_numbers(period: float, threshold: float, **others: float | None) -> None:
    """Check periods and sizes.

    Args:
        period: `heartbeat_period`.
        threshold: `heartbeat_threshold`.
        others: Those that are left out when they are None.

    Raises:
        InvalidTask: One cannot be.
    """
    check_range("heartbeat_period", period, _LEAST_PERIOD, LONGEST_TIME)
    check_range("heartbeat_threshold", threshold, _LEAST_SECONDS, LONGEST_TIME)
    if threshold <= period:
        raise InvalidTask(
            "heartbeat_threshold", threshold, f"it must be more than heartbeat_period={period:g}",
            "Several heartbeats should fit into it",
        )  # fmt: skip
    given: Mapping[str, float] = {name: value for name, value in others.items() if value is not None}
    for name, value in given.items():
        OTHER_NUMBERS[name](name, value)


OTHER_NUMBERS: dict[str, Callable[[str, float], None]] = {
    "drain_period": lambda name, value: check_range(name, value, _LEAST_SECONDS, LONGEST_TIME),
    "drain_before": lambda name, value: check_range(name, value, 0, LONGEST_TIME),
    "ageing": check_positive,
    "mem_per_node": lambda name, value: check_positive(name, value, _MOST_MEMORY),
    "cores_per_node": lambda name, value: check_range(name, value, 1, MOST),
    "gpus_per_node": lambda name, value: check_range(name, value, 0, MOST),
    "declared_nodes": lambda name, value: check_range(name, value, 1, MOST),
    "openai_wait": lambda name, value: check_range(name, value, 0, LONGEST_TIME),
    "metrics_port": lambda name, value: check_range(name, value, 0, _MOST_PORT),
    "request_workers": lambda name, value: check_range(name, value, 1, MOST),
    "max_launches": lambda name, value: check_range(name, value, 1, MOST),
    "reference_memory": lambda name, value: check_range(name, value, 0, _MOST_MEMORY),
    "max_depth": lambda name, value: check_range(name, value, 0, MOST),
    "max_agents": lambda name, value: check_range(name, value, 0, MOST),
    "max_children": lambda name, value: check_range(name, value, 1, LONGEST_TIME),
}
"""The check of each, by its name; they may be None."""


def check_words(launch_cmd: str, node_launcher: str, address: str | None, working_dir: str | None) -> None:
    """Check what commands and paths are made of.

    Raises:
        InvalidTask: One cannot be.
    """
    _check_launch_cmd(launch_cmd)
    check_node_launcher(node_launcher)
    if address is not None and not _ADDRESS.fullmatch(address):
        raise InvalidTask("address", address, "a host's name or IPv4 address is needed, without protocol and port")
    if working_dir is not None:
        check_text("working_dir", working_dir)
        if not working_dir:
            raise InvalidTask("working_dir", working_dir, "a folder is needed", "Leave it out for where the block is")


def _check_launch_cmd(launch_cmd: str) -> None:
    check_text("launch_cmd", launch_cmd)
    try:
        blanks = {name for _, name, _, _ in Formatter().parse(launch_cmd) if name is not None}
    except ValueError as problem:
        raise InvalidTask("launch_cmd", launch_cmd, f"it cannot be filled in: {problem}", _BRACES) from None
    if unknown := blanks - _BLANKS:
        raise InvalidTask("launch_cmd", launch_cmd, f"nothing fills {{{min(unknown)}}}", _BRACES)
    for blank in ("{config}", "{block_id}"):
        if blank not in launch_cmd:
            raise InvalidTask("launch_cmd", launch_cmd, f"{blank} is missing", "The pilot needs it to find the driver")


def check_provider(provider: ExecutionProvider | None) -> int:
    """Return how many nodes a block has.

    Raises:
        InvalidTask: It may start no block, or its launcher would start a pilot on each node.
    """
    check_range("provider.max_blocks", getattr(provider, "max_blocks", 1), 1, math.inf)
    nodes = getattr(provider, "nodes_per_block", 1) or 1
    launcher = getattr(provider, "launcher", None)
    if nodes > 1 and type(launcher) in _ONE_A_NODE:
        raise InvalidTask(
            "provider.launcher",
            type(launcher).__name__,
            f"it would start {nodes} pilots in a block of {nodes} nodes",
            "Use launcher=parsl.launchers.SimpleLauncher(): the one pilot starts what runs on the other nodes",
        )
    return int(nodes)


def walltime_of(provider: ExecutionProvider | None) -> float:
    """Return the seconds that a provider asks the batch system for; 0 where it says nothing, or in its own way."""
    shared = getattr(provider, "block", None)
    walltime = getattr(getattr(shared, "provider", provider), "walltime", "")
    try:
        return seconds_of(walltime) if isinstance(walltime, str) else 0.0
    except ValueError:
        return 0.0
