"""Looks into values that cannot be pickled, and into pickles that cannot be opened, to say what is the matter."""

import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import dill

from rhapsody_parsl.telling import described, qualified, repr_of, said

__all__ = ("Sketch", "sketch", "what_stays")

_MOST_DEPTH = 12
_MOST_PARTS = 1000
_FUTURE = (
    ". Pass `future.result()`. Parsl waits for futures in calls of apps alone: for one that is an argument itself or "
    "stands in `inputs=[...]`; for others give Config(dependency_resolver=DEEP_DEPENDENCY_RESOLVER)"
)


def what_stays(value: Any, pack: Callable[[Any], object], name: str) -> str:
    """Return the path to the part of a value that cannot be pickled, and its type.

    Args:
        value: Cannot be pickled.
        pack: Pickles, or raises.
        name: The value's, for the path.
    """
    path, part = name, value
    for _ in range(_MOST_DEPTH):
        if isinstance(part, Future):  # what it is made of is nobody's business
            return f"{path}, {described(part)}{_FUTURE}"
        for step, inner in itertools.islice(_parts(part), _MOST_PARTS):
            try:
                pack(inner)
            except BaseException:  # noqa: BLE001 - pickling runs the user's code
                path, part = path + step, inner
                break
        else:
            break
    return f"{path}, {described(part)}"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, each with the step of the path to it."""
    try:
        if isinstance(value, Mapping):
            yield from ((f"[{repr_of(key)}]", value[key]) for key in value)
        elif isinstance(value, (list, tuple)):
            yield from ((f"[{place}]", item) for place, item in enumerate(value))
        yield from ((f".{attribute}", item) for attribute, item in vars(value).items())
    except BaseException:  # noqa: BLE001 - the user's code may raise anything
        return


class _StandIn:
    """Takes in what an object of a missing class is made of, whichever way pickle makes it."""

    _held: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = object.__new__(cls)
        object.__setattr__(self, "_held", [*args, *kwargs.items()])
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """All is in `_held`."""

    def __setstate__(self, state: Any) -> None:
        self._held.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._held.append((key, value))

    def append(self, value: Any) -> None:
        self._held.append(value)

    add = append

    def extend(self, values: Iterable[Any]) -> None:
        self._held.extend(values)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __repr__(self) -> str:
        return f"{qualified(type(self))}({', '.join(_shown(each) for each in self._held)})"


def _shown(held: Any) -> str:
    if isinstance(held, dict) and all(isinstance(key, str) for key in held):
        return ", ".join(f"{key}={repr_of(value)}" for key, value in held.items())
    return repr_of(held)


class _Sketcher(dill.Unpickler):  # type: ignore[misc]  # dill is not typed
    """Opens a pickle with stand-ins for what is missing.

    Args:
        data: The pickle.
        all_strange: Whether everything that is not Python's own counts as missing: what is there may raise.
    """

    def __init__(self, data: bytes, all_strange: bool) -> None:
        super().__init__(io.BytesIO(data))
        self._all_strange = all_strange
        self.missing: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        try:
            if not (self._all_strange and module.partition(".")[0] not in sys.stdlib_module_names):
                return super().find_class(module, name)
        except BaseException as problem:  # noqa: BLE001 - an import runs anything
            self.missing.append(f"{module}.{name} ({said(problem)})")
        return type(name.rpartition(".")[2], (_StandIn,), {"__module__": module, "__qualname__": name})


class Sketch:
    """A value that cannot be opened, with stand-ins for what is missing in this process.

    Attributes:
        value: The value, or None.
        missing: Classes and functions that are not here, each with the reason.
    """

    def __init__(self, value: Any, missing: list[str]) -> None:
        self.value, self.missing = value, list(dict.fromkeys(missing))

    @property
    def text(self) -> str:
        """What it is and what is missing, in one sentence without its full stop."""
        missing = f"; missing here: {', '.join(self.missing[:5])}" if self.missing else ""
        return f"it is {described(self.value)}, {repr_of(self.value)}{missing}"

    def incomplete(self) -> list[tuple[Any, Any]]:
        """Return the items of the value, a sequence or a mapping, that hold a stand-in, each with its index or key."""
        pairs = self.value.items() if isinstance(self.value, Mapping) else enumerate(self.value)
        return [(key, item) for key, item in pairs if _holds_stand_in(item, _MOST_DEPTH)]


def _holds_stand_in(value: Any, depth: int) -> bool:
    if isinstance(value, _StandIn) or (isinstance(value, type) and issubclass(value, _StandIn)):
        return True
    parts = itertools.islice(_parts(value), _MOST_PARTS)
    return depth > 0 and any(_holds_stand_in(part, depth - 1) for _, part in parts)


def sketch(data: bytes | None) -> Sketch | None:
    """Return what can be said of a pickle, None for one that cannot even be opened with stand-ins.

    Args:
        data: The pickle, None when it was made in a way we do not know.
    """
    if data is None:
        return None
    for all_strange in (False, True):
        sketcher = _Sketcher(data, all_strange)
        try:
            value = sketcher.load()
        except BaseException:  # noqa: BLE001, S112 - opening runs the user's code
            continue
        return Sketch(value, sketcher.missing)
    return None
