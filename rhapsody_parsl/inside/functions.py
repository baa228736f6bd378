"""What a function says of itself that a task submits, and the specification that it asks for."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.decorator import ATTRIBUTE
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.task_spec import encode_spec
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.wording import clip

__all__ = ("Asked", "asked")

_MOST_KNOWN = 1_000
_MOST_LAYERS = 100


class Asked(msgspec.Struct, frozen=True):
    """A checked specification.

    Attributes:
        spec: Encoded.
        request: Encoded request parameters, b"" for most tasks.
    """

    spec: bytes
    request: bytes = b""


_known: dict[tuple[str, bool, bytes], Asked] = {}


def asked(function: Callable[..., Any], specification: Mapping[str, Any] | None) -> Asked:
    """Return what a call asks for.

    Args:
        function: Its annotation counts.
        specification: The call's own, which overrides the annotation's key by key.

    Raises:
        InvalidTask: It can never run.
    """
    layers = list(_layers(function))
    inner = layers[-1]
    name = clip(str(getattr(inner, "__name__", type(inner).__name__)))
    given = plain_dict({} if specification is None else specification, SPEC_PARAMETER)
    annotation: dict[str, Any] = next(filter(None, (getattr(each, ATTRIBUTE, None) for each in layers)), {})
    comm = _takes_comm(inner)
    key = (name, comm, msgspec.msgpack.encode((annotation, given)))
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[key] = _checked(merge(annotation, given), name, comm)
    return known


def _checked(merged: Mapping[str, Any], name: str, comm: bool) -> Asked:
    spec, request = parse(merged, name, comm)
    if spec.policy.output == "text":
        remedy = "Use subprocess.run(..., capture_output=True) and return what you need"
        raise InvalidTask("output", "text", "only a bash app runs one program", remedy)
    if spec.policy.result == "reference":
        remedy = "Submit it at the driver, or return the value"
        raise InvalidTask("result", "reference", "a task of a task gives its result to its parent", remedy)
    return Asked(encode_spec(spec), msgspec.msgpack.encode(request) if request else b"")


def _layers(function: Any) -> Iterator[Any]:
    """Peel wrappers and partials off a function."""
    for _ in range(_MOST_LAYERS):
        yield function
        if isinstance(function, partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return


def _takes_comm(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None:
        return "comm" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    try:
        return "comm" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return False
