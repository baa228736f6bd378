"""The runtimes that are known by name, and what each takes: the one table that all other parts ask.

A row is the class of a runtime's configuration. It is here because it comes with this package, because an installed
package names it in the entry points `rhapsody_parsl.runtimes`, or because its module was imported. A row of the first
two kinds is imported when somebody asks for it.
"""

import functools
import importlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal

import msgspec

from rhapsody_parsl.errors import InvalidTask

__all__ = ("Capability", "RuntimeKind", "Takes", "find", "first_that_takes", "load", "names", "own", "position")

_GROUP = "rhapsody_parsl.runtimes"
_OWN = {
    "dragon": "rhapsody_parsl.config:DragonRuntime",
    "mpi": "rhapsody_parsl.config:MPIRuntime",
    "vllm": "rhapsody_parsl.config:ModelRequests",
    "local": "rhapsody_parsl.config:LocalRuntime",
}
_imported: "dict[str, type[RuntimeKind]]" = {}

Capability = Literal["single", "ranks", "requests"]


class Takes(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime takes.

    Attributes:
        single: Tasks that are one process, with `cores`.
        ranks: Tasks of several ranks, with `num_ranks` and `num_nodes`.
        requests: Requests to a service, with `service`.
        comm: Whether a function with a `comm` parameter runs on every rank.
        gpus: Whether its tasks may lease GPUs.
        hosts: Whether it works on all hosts of a block; if not, its tasks go to the block's first host.
    """

    single: bool = False
    ranks: bool = False
    requests: bool = False
    comm: bool = False
    gpus: bool = True
    hosts: bool = True


class RuntimeKind:
    """A row of the table: what is known of a runtime before any process of it runs.

    Attributes:
        name: As users write it.
        takes: What it takes.
        implementation: Where the half in the pilot is, as `module:Class`; it is made of configuration and `Context`,
            and of the block's `Services` where it takes requests.
    """

    __slots__ = ()

    name: ClassVar[str] = ""
    takes: ClassVar[Takes] = Takes(single=True)
    implementation: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Note a runtime that has a name of its own.

        Raises:
            TypeError: The name is that of another.
        """
        super().__init_subclass__()
        if name := cls.__dict__.get("name", ""):
            if _OWN.get(name, path := f"{cls.__module__}:{cls.__qualname__}") != path:
                raise TypeError(f"{path} cannot be called '{name}', as {_OWN[name]} is")
            _imported[name] = cls


def load(path: str) -> Any:
    """Return what a `module:Class` names.

    Raises:
        ImportError: There is no such module, or nothing of that name in it.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as problem:
        raise ImportError(str(problem)) from None


def find(name: str) -> type[RuntimeKind] | None:
    """Return the runtime of a name; None when there is none.

    Args:
        name: A runtime's name, or `module:Class` of its configuration.

    Raises:
        InvalidTask: There is one, and its module cannot be imported.
    """
    if name in _imported:
        return _imported[name]
    entry = _entries().get(name)
    path = _OWN.get(name) or (entry.value if entry else name if ":" in name else "")
    if not path:
        return None
    try:
        kind = load(path)
    except Exception as problem:  # whatever an import can raise
        raise InvalidTask("runtime", name, f"{path} cannot be imported: {problem}") from problem
    if not (isinstance(kind, type) and issubclass(kind, RuntimeKind)):
        raise InvalidTask("runtime", name, f"{path} is no runtime's configuration", "Name a subclass of RuntimeConfig")
    return kind


def names() -> tuple[str, ...]:
    """Return the names of all runtimes, those of this package first."""
    return tuple(dict.fromkeys((*_OWN, *_imported, *_entries())))


@functools.cache
def own() -> tuple[type[RuntimeKind], ...]:
    """Return the runtimes of this package."""
    return tuple(load(path) for path in _OWN.values())


def position(name: str) -> int:
    """Return a runtime's place among those of this package; others come after them."""
    return [*_OWN, name].index(name)


def first_that_takes(what: Capability, kinds: Iterable[type[RuntimeKind]]) -> str:
    """Return the name of the first of some runtimes that takes something; of this package's when none of them does."""
    return next(kind.name for kind in (*kinds, *own()) if getattr(kind.takes, what))


@functools.cache
def _entries() -> dict[str, EntryPoint]:
    """Return what installed packages offer, by name."""
    return {entry.name: entry for entry in entry_points(group=_GROUP)}
