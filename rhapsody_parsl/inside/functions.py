"""What a function says of itself that a task submits, and the specification that it asks for."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from rhapsody_parsl.annotations.agent import annotation_of, named
from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.decorator import ATTRIBUTE
from rhapsody_parsl.annotations.effects import check_effect
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.task_spec import encode_spec
from rhapsody_parsl.executors.forms import check_form
from rhapsody_parsl.function_kinds import gives_coroutine, gives_pieces, layers
from rhapsody_parsl.mail import message_spec
from rhapsody_parsl.wording import clip

__all__ = ("Asked", "asked", "asked_for_agent", "asked_for_message")

_MOST_KNOWN = 1_000
_PIECES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_AWAITED = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Asked(msgspec.Struct, frozen=True):
    """A checked specification.

    Attributes:
        spec: Encoded.
        request: Encoded request parameters, b"" for most tasks.
        streams: Whether the call gives pieces.
        above: Bytes; a larger result stays in the block. None where each travels.
    """

    spec: bytes
    request: bytes = b""
    streams: bool = False
    above: int | None = None


class _Form(NamedTuple):
    """What matters of a function; see `FunctionFacts`. Bash apps, and Parsl's decorators, are the driver's."""

    name: str
    comm: bool
    pieces: bool
    awaited: bool
    bash: bool = False
    timed: bool = False


_known: dict[tuple[_Form, bytes], Asked] = {}


def asked(function: Callable[..., Any], specification: Mapping[str, Any] | None) -> Asked:
    """Return what a call asks for.

    Args:
        function: Its annotation counts.
        specification: The call's own, which overrides the annotation's key by key.

    Raises:
        InvalidTask: It can never run.
    """
    found = list(layers(function))
    inner = found[-1]
    name = clip(str(getattr(inner, "__name__", type(inner).__name__)))
    given = plain_dict({} if specification is None else specification, SPEC_PARAMETER)
    annotation: dict[str, Any] = next(filter(None, (getattr(each, ATTRIBUTE, None) for each in found)), {})
    form = _Form(name, _takes_comm(inner), *_gives(inner))
    key = (form, msgspec.msgpack.encode((annotation, given)))
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[key] = _checked(merge(annotation, given), form)
    return known


def _checked(merged: Mapping[str, Any], form: _Form) -> Asked:
    spec, request = parse(merged, form.name, form.comm)
    check_form(spec, request, form)
    check_effect(spec)
    streams = form.pieces or request.get("stream") is True
    above = spec.policy.reference_above if spec.policy.result == "reference" else None
    return Asked(encode_spec(spec), msgspec.msgpack.encode(request) if request else b"", streams, above)


def asked_for_agent(kind: type, name: str, specification: Mapping[str, Any] | None) -> tuple[Asked, str]:
    """Return what an agent asks for, and the signal that announces the end of the block to it.

    Args:
        kind: Its class; the annotation of that counts.
        name: Its name.
        specification: Overrides the annotation key by key.

    Raises:
        InvalidTask: It can never run.
    """
    given = plain_dict({} if specification is None else specification, SPEC_PARAMETER)
    spec, _ = parse(merge(annotation_of(kind), given), clip(kind.__name__))
    check_effect(spec, agent=True)
    return Asked(encode_spec(named(spec, name))), spec.policy.signal


@functools.lru_cache(_MOST_KNOWN)
def asked_for_message(name: str) -> Asked:
    """Return what a message to an agent asks for."""
    return Asked(message_spec(name))


def _gives(function: Any) -> tuple[bool, bool]:
    """Return whether it gives pieces, and whether it is awaited."""
    code = getattr(function, "__code__", None)  # as each call asks, by its flags
    if code is None:
        return gives_pieces(function), gives_coroutine(function)
    return bool(code.co_flags & _PIECES), bool(code.co_flags & _AWAITED)


def _takes_comm(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None:
        return "comm" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    try:
        return "comm" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-ins without a signature
        return False
