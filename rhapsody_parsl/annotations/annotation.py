"""The user's dict and the checked values: the only module that knows the key names."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from rhapsody_parsl.annotations.groups import check_groups, counted
from rhapsody_parsl.annotations.limits import check_gpus
from rhapsody_parsl.annotations.policy import (
    Isolation,
    OnLoss,
    Output,
    Placement,
    PolicyValue,
    ResultWay,
    Returns,
    Signal,
    Unanswered,
)
from rhapsody_parsl.annotations.references import check_reference, check_size
from rhapsody_parsl.annotations.request import ASK, PARAMETERS, check_wanted
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.surroundings import check_env, check_folder, check_output_limit
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.runtime_table import RuntimeKind, Takes, find, first_that_takes, names
from rhapsody_parsl.wording import nearest

__all__ = ("ALIASES", "SPEC_PARAMETER", "check_gpus_taken", "merge", "parse")

SPEC_PARAMETER = "parsl_resource_specification"

ALIASES = {
    "ranks": "num_ranks",
    "nodes": "num_nodes",
    "mpi_ranks": "num_ranks",
    "mem": "memory",
    "cores_per_worker": "cores",
    "mem_per_worker": "memory",
    "gpus_per_worker": "gpus",
    "threads_per_rank": "cores_per_rank",
    "running_time_max": "walltime",
}
"""Other spellings: Parsl's executors', WorkQueue's and TaskVine's."""


_MOST = 1 << 30
"""More of anything no block has; larger numbers do not travel."""

_MOST_CONCURRENT = 10_000

_MOST_AMOUNT = 1e9
"""GB, or seconds: beyond any node and any walltime, and sums of a million such are still exact."""

_HIGHEST_PRIORITY = 1 << 63
_LONGEST = 4096
_MOST_LABELS = 1000
_DIGITS = re.compile(r"\s*[0-9]{1,20}\s*", re.ASCII)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTask(key, value, "a number is needed")
    return float(value) + 0.0  # -0.0 is 0.0


def _count(key: str, value: Any, low: int, high: int = _MOST) -> int:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)  # MPIExecutor takes digits as text
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1:
        raise InvalidTask(key, value, "a whole number is needed")
    if value < low:
        raise InvalidTask(key, value, f"the smallest is {low}")
    if value > high:
        raise InvalidTask(key, value, f"no block has more than {_MOST}" if high == _MOST else f"the largest is {high}")
    return int(value)


def _priority(key: str, value: Any) -> float:
    number = _number(key, value)
    if abs(number) > _HIGHEST_PRIORITY:
        raise InvalidTask(key, value, f"allowed are -{_HIGHEST_PRIORITY:g} to {_HIGHEST_PRIORITY:g}")
    return number


def _amount(key: str, value: Any) -> float:
    number = _number(key, value)
    if number < 0:
        raise InvalidTask(key, value, "it must be zero or more")
    if number > _MOST_AMOUNT:
        raise InvalidTask(key, value, f"the largest is {_MOST_AMOUNT:g}")
    return number


def _gpus(key: str, value: Any) -> float:
    amount = _amount(key, value)
    check_gpus(key, amount)
    return amount


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidTask(key, value, "text is needed")
    if len(value) > _LONGEST:
        raise InvalidTask(key, value, f"{_LONGEST} characters at most")
    if "\0" in value:
        raise InvalidTask(key, value, "the character NUL is not allowed")
    return value


def _words(key: str, value: Any) -> str:
    text = _text(key, value)
    try:
        shlex.split(text)
    except ValueError as problem:
        raise InvalidTask(key, value, f"it cannot be split into words as a shell does: {problem}") from None
    return text


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidTask(key, value, "True or False is needed")
    return value


def _labels(key: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InvalidTask(key, value, "a list of texts is needed")
    if len(items) > _MOST_LABELS:
        raise InvalidTask(key, value, f"{_MOST_LABELS} at most")
    return tuple(_text(key, item) for item in items)


def _runtime(key: str, value: Any) -> str:
    kind = find(value) if isinstance(value, str) else None
    if kind is None:
        raise InvalidTask(key, value, f"allowed are {', '.join(names())}", nearest(value, names()))
    return kind.name


def _choice(*allowed: str) -> Callable[[str, Any], str]:
    def check(key: str, value: Any) -> str:
        if value not in allowed:
            raise InvalidTask(key, value, f"allowed are {', '.join(allowed)}", nearest(value, allowed))
        return str(value)

    return check


_RESOURCES: dict[str, Callable[[str, Any], Any]] = {
    "cores": lambda key, value: _count(key, value, 0),
    "gpus": _gpus,
    "memory": _amount,
    "num_nodes": lambda key, value: _count(key, value, 1),
    "num_ranks": lambda key, value: _count(key, value, 1),
    "ranks_per_node": lambda key, value: _count(key, value, 1),
    "cores_per_rank": lambda key, value: _count(key, value, 1),
    "gpus_per_rank": _gpus,
    "launcher_options": _words,
    "groups": check_groups,
}
_POLICY: dict[str, Callable[[str, Any], Any]] = {
    "priority": _priority,
    "placement": _choice(*get_args(Placement)),
    "near": _text,
    "labels": _labels,
    "isolation": _choice(*get_args(Isolation)),
    "walltime": _amount,
    "on_loss": _choice(*get_args(OnLoss)),
    "returns": _choice(*get_args(Returns)),
    "signal": _choice(*get_args(Signal)),
    "notice": _amount,
    "env": check_env,
    "cwd": check_folder,
    "sandbox": _flag,
    "output": _choice(*get_args(Output)),
    "output_limit": check_output_limit,
    "check": _flag,
    "result": _choice(*get_args(ResultWay)),
    "reference_above": check_size,
    "concurrency": lambda key, value: _count(key, value, 1, _MOST_CONCURRENT),
    "unanswered": _choice(*get_args(Unanswered)),
    "lend": _flag,
}
_ROUTING: dict[str, Callable[[str, Any], Any]] = {"runtime": _runtime, "service": _text, "full": _flag}
_OWN = {**_ROUTING, **_RESOURCES, **_POLICY}
_GANG_KEYS = ("num_nodes", "num_ranks", "ranks_per_node", "groups")
_RANK_KEYS = (*_GANG_KEYS, "cores_per_rank", "gpus_per_rank", "launcher_options")


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `policy`, resolve aliases and let later layers override earlier ones, key by key.

    Args:
        layers: Plain data, weakest first.

    Raises:
        InvalidTask: A layer names one thing twice under two spellings, or its `policy` is no dict.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(_flatten(layer))
    return merged


def _flatten(layer: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in layer.items():
        inner = value if key == "policy" else {key: value}
        if not isinstance(inner, dict):
            raise InvalidTask("policy", value, "a dict is needed")
        for name, item in inner.items():
            own: Any = ALIASES.get(name, name)
            if own in flat:
                raise InvalidTask(str(name), item, f"'{own}' is given twice")
            flat[own] = item
    return flat


def parse(
    merged: Mapping[str, Any], name: str = "task", comm: bool = False, kinds: Sequence[type[RuntimeKind]] = ()
) -> tuple[TaskSpec, dict[str, Any]]:
    """Check a merged dict.

    Args:
        merged: What `merge` returned.
        name: The app's name.
        comm: Whether the app's function has a `comm` parameter.
        kinds: Runtimes that a task goes to when it names none, but says what not all of them take: ranks, or a service.
            The first that takes it is meant; default the package's own.

    Returns:
        The spec, and the request parameters for a service ({} for other tasks).

    Raises:
        InvalidTask: Any key, value or combination that can never run.
    """
    own = {key: _OWN[key](key, value) for key, value in merged.items() if key in _OWN}
    request = {key: value for key, value in merged.items() if key not in _OWN}
    runtime = own.get("runtime") or _runtime_of(own, kinds)
    takes = _takes_of(runtime)
    _check_request(request, own, runtime, takes)
    resources = _resources({key: value for key, value in own.items() if key in _RESOURCES}, runtime, takes)
    comm = comm and takes.comm
    policy = {key: value for key, value in own.items() if key in _POLICY}
    if comm and resources.gpus_per_rank:
        policy.setdefault("isolation", "process")  # libraries keep memory of a GPU as long as they live
    spec = TaskSpec(
        name=name,
        runtime=runtime,
        service=own.get("service", ""),
        comm=comm,
        full=own.get("full", False),
        resources=resources,
        policy=PolicyValue(**policy),
    )
    check_gpus_taken(spec, runtime, takes)
    _check_lend(spec)
    if "notice" in own and "signal" not in own:
        raise InvalidTask("notice", own["notice"], "no signal is given", "Add signal='SIGUSR1'")
    check_reference(spec, given=own.keys())
    if spec.policy.returns == "all" and not spec.comm:
        raise InvalidTask(
            "returns", "all", "only an MPI function has many results", "Give the function a `comm` parameter"
        )
    if spec.comm and (groups := spec.resources.groups):
        instead = "Write an app without `comm`, which starts them: $PARSL_MPI_PREFIX one : another"
        raise InvalidTask("groups", len(groups), "a function runs alike on every rank; groups are of programs", instead)
    return spec, request


def _check_lend(spec: TaskSpec) -> None:
    if spec.policy.lend and (spec.resources.is_mpi or spec.service or spec.policy.placement == "exclusive"):
        problem = "only a task that is one process, and shares its node, lends its cores"
        raise InvalidTask("lend", True, problem, "Drop it")


def check_gpus_taken(spec: TaskSpec, runtime: str, takes: Takes) -> None:
    """Refuse GPUs for a runtime that has none for its tasks.

    Args:
        spec: The task's.
        runtime: The runtime's name.
        takes: What it takes.

    Raises:
        InvalidTask: The task asks for some.
    """
    for key in () if takes.gpus else ("gpus", "gpus_per_rank"):
        if asked := getattr(spec.resources, key):
            raise InvalidTask(key, asked, f"runtime '{runtime}' takes no tasks with GPUs", "Use another runtime")


def _runtime_of(own: Mapping[str, Any], kinds: Sequence[type[RuntimeKind]]) -> str:
    if "service" in own:
        return first_that_takes("requests", kinds)
    return "" if own.keys().isdisjoint(_GANG_KEYS) else first_that_takes("ranks", kinds)


def _takes_of(runtime: str) -> Takes:
    """Return what a runtime takes; of the default, whichever it is, tasks that are one process are expected."""
    kind = find(runtime) if runtime else None
    return kind.takes if kind else Takes(single=True)


def _check_request(request: Mapping[str, Any], own: Mapping[str, Any], runtime: str, takes: Takes) -> None:
    asks_service = takes.requests and ("service" in own or not (takes.single or takes.ranks))
    for key, value in request.items():
        if key in PARAMETERS or key == ASK:
            if asks_service:
                continue
            raise InvalidTask(key, value, "a request parameter needs a service", "Add service='<name>'")
        known = {*_OWN, *ALIASES, "policy", *((*PARAMETERS, ASK) if asks_service else ())}
        raise InvalidTask(str(key), value, "unknown key", nearest(key, known) or f"Known are {', '.join(sorted(_OWN))}")
    if asks_service and not own.get("service"):
        raise InvalidTask("runtime", runtime, "names no service", "Add service='<name>'")
    if not asks_service and "service" in own:
        instead = f"Drop runtime, or use '{first_that_takes('requests', ())}'"
        raise InvalidTask("service", own["service"], f"runtime '{runtime}' asks no service", instead)
    if request:
        check_wanted(request)


def _resources(own: dict[str, Any], runtime: str, takes: Takes) -> Resources:
    if not takes.ranks or (takes.single and own.keys().isdisjoint(_RANK_KEYS)):
        return _single(own, runtime, takes)
    for key, instead in (("cores", "cores_per_rank"), ("gpus", "gpus_per_rank")):
        if key in own:
            raise InvalidTask(key, own[key], "an MPI task counts by rank", f"Use {instead}")
    if own.keys().isdisjoint(_GANG_KEYS):
        own["num_ranks"] = 1
    return Resources(**_complete_gang(counted(own)))


def _single(own: dict[str, Any], runtime: str, takes: Takes) -> Resources:
    for key, value in own.items():
        if key in _RANK_KEYS:
            where = f"runtime '{runtime}'" if runtime else "the default runtime"
            instead = f"Use runtime='{first_that_takes('ranks', ())}', or cores and gpus"
            raise InvalidTask(key, value, f"{where} has no ranks", instead)
    if not takes.single:
        own.setdefault("cores", 0)  # the service's own lease pays for its requests
    return Resources(**own)


def _complete_gang(own: dict[str, Any]) -> dict[str, Any]:
    """Infer the third of nodes, ranks and ranks per node from the other two."""
    ranks, nodes, per_node = (own.get(key, 0) for key in ("num_ranks", "num_nodes", "ranks_per_node"))
    if ranks and nodes and not per_node:
        if ranks % nodes:
            raise InvalidTask(
                "num_ranks", ranks, f"not divisible by num_nodes={nodes}", "Change one, or give only num_ranks"
            )
        per_node = ranks // nodes
    elif ranks and per_node and not nodes:
        if ranks % per_node:
            raise InvalidTask("num_ranks", ranks, f"not divisible by ranks_per_node={per_node}", "Change one of them")
        nodes = ranks // per_node
    elif per_node and not ranks:
        nodes = nodes or 1
        ranks = nodes * per_node
    if ranks and nodes and per_node and ranks != nodes * per_node:
        raise InvalidTask(
            "num_ranks", ranks, f"num_nodes * ranks_per_node is {nodes * per_node}", "Drop one of the three"
        )
    return own | {"num_ranks": ranks, "num_nodes": nodes, "ranks_per_node": per_node}
