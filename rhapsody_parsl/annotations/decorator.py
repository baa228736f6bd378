"""`@annotate` and the parts it takes: the same keys as the dict, with names a type checker knows."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.policy import (
    Isolation,
    OnLoss,
    Output,
    Placement,
    ResultWay,
    Returns,
    Signal,
    Unanswered,
)
from rhapsody_parsl.annotations.request import ASK, Wanted
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.spelling import spelled
from rhapsody_parsl.wording import name_of_class

__all__ = ("MPI", "VLLM", "Dragon", "Part", "Policy", "annotate")

ATTRIBUTE = "__rhapsody_spec__"
"""Where an annotated function carries its dict; `functools.wraps` of outer decorators copies it outward."""

_BELOW = "Write it below @python_app, and around anything else a function of your own"

F = TypeVar("F", bound=Callable[..., Any])


class Part:
    """One group of keys; fields left at None are not said.

    A runtime of your own has a part of its own: a dataclass below this one, with the keys that its tasks have as
    fields, and `runtime`.

    Attributes:
        runtime: Name of the runtime that its tasks go to; "" for a part that goes with any.
    """

    runtime: ClassVar[str] = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of `parsl_resource_specification` that this part stands for."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}  # type: ignore[arg-type]  # every subclass is a dataclass
        return {"runtime": self.runtime, **said} if self.runtime else said


@spelled
@dataclass(frozen=True, slots=True)
class Dragon(Part):
    """A task in a process that Dragon manages.

    Attributes:
        cores: Cores to lease; default 1.
        gpus: GPUs to lease: whole, or a share below 1; default 0.
        memory: GB to lease, and the task's limit; default 0, neither counted nor limited.
    """

    runtime: ClassVar[str] = "dragon"
    cores: int | None = None
    gpus: float | None = None
    memory: float | None = None


@spelled
@dataclass(frozen=True, slots=True)
class MPI(Part):
    """A gang of ranks: an executable launched with `$PARSL_MPI_PREFIX`, or a function with a `comm` parameter.

    Two of `ranks`, `num_nodes` and `ranks_per_node` give the third. `num_nodes` alone takes whole nodes, with one rank
    per core.

    Attributes:
        ranks: Ranks in total.
        num_nodes: Nodes to spread them over.
        ranks_per_node: Ranks on each node.
        cores_per_rank: Cores of each rank; default 1.
        gpus_per_rank: GPUs of each rank: whole, or a share below 1; default 0.
        memory: GB to lease on each node, and the task's limit there; default 0, neither counted nor limited.
        launcher_options: Words added to the launcher's command line.
        groups: Groups of ranks with a program each: dicts with `ranks`, and maybe `env` (variables of that group) and
            `gpus` (False: its ranks have none). The programs stand in the app: `$PARSL_MPI_PREFIX one : another`.
    """

    runtime: ClassVar[str] = "mpi"
    ranks: int | None = None
    num_nodes: int | None = None
    ranks_per_node: int | None = None
    cores_per_rank: int | None = None
    gpus_per_rank: float | None = None
    memory: float | None = None
    launcher_options: str | None = None
    groups: Sequence[Mapping[str, Any]] | None = None


@spelled
class VLLM(Part):
    """A request to a service: the app's body returns the prompt, and the app's result is the completion.

    Args:
        service: The service's name.
        ask: What the model gives: `text` (default); `embed`, a list of floats for each text that the body returns; or
            `score`, a float for each document, where the body returns a query and its documents.
        full: Return the whole response (a dict with `choices` or `data`, and `usage`) instead.
        request: Any request parameter of vLLM's API: `max_tokens`, `temperature`, `structured_outputs`, ...
    """

    __slots__ = ("_keys",)

    runtime: ClassVar[str] = "vllm"

    def __init__(self, service: str, *, ask: Wanted | None = None, full: bool | None = None, **request: Any) -> None:
        self._keys = {"runtime": self.runtime, "service": service, **request}
        said = {ASK: ask, "full": full}
        self._keys |= {name: value for name, value in said.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of `parsl_resource_specification` that this part stands for."""
        return dict(self._keys)


@spelled
@dataclass(frozen=True, slots=True)
class Policy(Part):
    """How a task is mapped to the block.

    Attributes:
        priority: Lower runs first, as in Parsl; default 0.
        placement: `pack` (default) fills nodes, `spread` takes the emptiest, `exclusive` takes whole nodes.
        near: A service name or an affinity key; tasks with the same key go to the same node while it has room.
        labels: Labels that the node must carry.
        isolation: `shared` (default) runs in a resident process, `process` in a fresh one. For an MPI function with
            `gpus_per_rank` the default is `process`.
        walltime: Seconds until the task's whole process tree is killed.
        on_loss: `fail` (default) or `rerun` when the process under the task dies, a fresh one too.
        returns: For an MPI function: `root` (default) is rank 0's result, `all` the list of all ranks' results.
        signal: `SIGUSR1`, for example: sent to the task's processes before the block ends; default none.
        notice: How many seconds before; default 60.
        env: Environment variables for the task; they come before all others.
        cwd: The task's working directory, relative to the block's; it must be there.
        sandbox: True gives each task a new folder as its working directory. It is removed when the task succeeds and
            kept when it fails. It is below `cwd`, or in `sandboxes` in the block's folder of the run directory.
        output: For a bash app: `code` (default) gives 0, as Parsl does; `text` gives a `Completed`, which has what the
            program wrote and its exit code.
        output_limit: Bytes of each stream that are kept with `output="text"`, the last ones; default 65,536.
        check: With `output="text"`: False gives a `Completed` for an exit code other than zero, too; default True.
        result: `value` (default) travels to the driver. With `reference` it stays in the block, and the future gives a
            `Ref`.
        reference_above: With `result="reference"`: a smaller result travels as a value; a size such as "10 MB".
        concurrency: For `async def` apps: how many calls one worker runs at once, on one lease; default 1.
        lend: True lets others have its cores while it waits for tasks of its own; it goes on when it has had its turn.
        unanswered: Of an agent: `again` (default) or `fail`, the message at which its process was lost.
    """

    priority: float | None = None
    placement: Placement | None = None
    near: str | None = None
    labels: tuple[str, ...] | None = None
    isolation: Isolation | None = None
    walltime: float | None = None
    on_loss: OnLoss | None = None
    returns: Returns | None = None
    signal: Signal | None = None
    notice: float | None = None
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    sandbox: bool | None = None
    output: Output | None = None
    output_limit: int | None = None
    check: bool | None = None
    result: ResultWay | None = None
    reference_above: int | str | None = None
    concurrency: int | None = None
    lend: bool | None = None
    unanswered: Unanswered | None = None


def annotate(*parts: Part | Mapping[str, Any]) -> Callable[[F], F]:
    """State where and how an app runs. Write it below `@python_app` or `@bash_app`, or on a function for `submit`.

    A class is annotated as that of agents.

    The function stays an ordinary function. Other executors run it unchanged.

    Args:
        parts: `Dragon(...)`, `MPI(...)` or `VLLM(...)`, `Policy(...)`, a part of your own, or dicts with the same keys;
            later ones override earlier ones.

    Raises:
        InvalidTask: A key, a value or a combination can never run, or what is annotated is no function and no class.
    """
    spec = merge(*map(_keys_of, parts))

    def decorate(function: F) -> F:
        if isinstance(function, type):
            parse(spec, function.__name__)
            _note_on_class(function, spec)
            return function
        if type(getattr(function, "__globals__", None)) is not dict:
            raise InvalidTask("annotate", function, "a function written in Python is needed", _BELOW)
        parse(spec, function.__name__, "comm" in inspect.signature(function).parameters)
        return _accepting_spec(function, spec)

    return decorate


def _note_on_class(kind: type, spec: dict[str, Any]) -> None:
    try:
        setattr(kind, ATTRIBUTE, spec)
    except TypeError:
        raise InvalidTask("annotate", kind, "a class written in Python is needed", _BELOW) from None


def _keys_of(part: Any) -> dict[Any, Any]:
    """Return the keys of a part as plain data."""
    kind = type(part)
    if issubclass(kind, type) and issubclass(part, Part):
        name = name_of_class(part)
        raise InvalidTask("annotate", part, f"{name} is a class, and an object of it is needed", f"Write {name}(...)")
    return plain_dict(part.as_dict() if issubclass(kind, Part) else part, SPEC_PARAMETER)


def _accepting_spec(function: F, spec: dict[str, Any]) -> F:
    """Return `function` with a `parsl_resource_specification` parameter, for what is given at call time.

    Its default is empty: the annotation travels as an attribute, because ThreadPoolExecutor and HighThroughputExecutor
    refuse what they do not know. The wrapper is made over the *user's* globals, so that dill ships it as it ships the
    user's own function and the other side needs nothing of this package.
    """

    def call(*args: Any, parsl_resource_specification: Any = None, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    twin = types.FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    twin.__kwdefaults__ = {SPEC_PARAMETER: {}}
    functools.update_wrapper(twin, function)
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name != SPEC_PARAMETER]
    extra = inspect.Parameter(SPEC_PARAMETER, inspect.Parameter.KEYWORD_ONLY, default={})
    at = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    parameters.insert(at, extra)
    twin.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    setattr(twin, ATTRIBUTE, spec)
    return twin  # type: ignore[return-value]  # same call signature plus one keyword
