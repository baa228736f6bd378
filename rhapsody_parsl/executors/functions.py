"""What there is to know of a submitted function: its annotation, and whether it takes `comm`."""

import functools
import inspect
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

import msgspec
from parsl.app.bash import remote_side_bash_executor
from parsl.app.errors import wrap_error
from parsl.app.python import timeout

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER
from rhapsody_parsl.annotations.decorator import ATTRIBUTE
from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.data.staying import Keeping
from rhapsody_parsl.function_kinds import gives_coroutine, gives_pieces, layers
from rhapsody_parsl.programs import Captured
from rhapsody_parsl.wording import clip

__all__ = ("FunctionFacts", "as_sent", "bare", "facts_of")

_TIMED: Any = getattr(timeout(len, 1.0), "__code__", None)
_WRAPPER: Any = getattr(wrap_error(len), "__code__", None)


class FunctionFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a function says of itself.

    Attributes:
        name: For people.
        annotation: The dict of its `@annotate`, or {}.
        comm: Whether it has a `comm` parameter.
        takes_spec: Whether it accepts `parsl_resource_specification`, which Parsl passes on.
        bash: Whether it is a bash app's.
        pieces: Whether it is a generator: it gives pieces before its end.
        awaited: Whether it is a coroutine or an asynchronous generator.
        timed: Whether Parsl is to hold it to a walltime.
        agent: Whether it is the class of an agent.
    """

    name: str
    annotation: dict[str, Any]
    comm: bool
    takes_spec: bool
    bash: bool = False
    pieces: bool = False
    awaited: bool = False
    timed: bool = False
    agent: bool = False


_known: "weakref.WeakKeyDictionary[Any, FunctionFacts]" = weakref.WeakKeyDictionary()


def facts_of(function: Callable[..., Any]) -> FunctionFacts:
    """Return the facts of a function as Parsl hands it to an executor, under any number of Parsl's own wrappers."""
    try:
        known = _known.get(function)
    except TypeError:  # not hashable or not weakly referable
        return _look(function)
    if known is None:
        known = _known[function] = _look(function)
    return known


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of an app without Parsl's `wrap_error`.

    A worker of ours tells by itself what a function raises, exceptions too at which the wrapper fails; it would also
    have each import all of Parsl first.
    """
    inner = getattr(function, "__wrapped__", None)
    if getattr(function, "__code__", None) is _WRAPPER and isinstance(inner, (FunctionType, functools.partial)):
        return inner
    return function


def as_sent(function: Callable[..., Any], policy: PolicyValue) -> Callable[..., Any]:
    """Return the function of an app as the block is to call it.

    Args:
        function: As Parsl hands it over.
        policy: Of the call, which was admitted.
    """
    inner = bare(function)
    if policy.output == "text":
        return Captured(inner, policy.output_limit, policy.check)
    return Keeping(inner, policy.reference_above) if policy.result == "reference" else inner


def _look(function: Callable[..., Any]) -> FunctionFacts:
    found = list(layers(function, _carried))
    annotations = (getattr(each, ATTRIBUTE, None) for each in found)
    annotation: dict[str, Any] = next((said for said in annotations if type(said) is dict), {})
    parameters = _parameters(found[-1])
    keywords = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    annotated, bash = bool(annotation), any(map(_is_bash, found))
    return FunctionFacts(
        name=clip(str(getattr(found[-1], "__name__", type(found[-1]).__name__))),
        annotation=annotation,
        comm="comm" in parameters and not bash,
        takes_spec=annotated or keywords or SPEC_PARAMETER in parameters,
        bash=bash,
        pieces=gives_pieces(found[-1]),
        awaited=gives_coroutine(found[-1]),
        timed=any(getattr(each, "__code__", None) is _TIMED for each in found),
    )


def _carried(layer: Any) -> Any:
    """Return the function that a partial carries; a bash app's is its first argument."""
    return layer.args[0] if _is_bash(layer) else layer.func


def _is_bash(layer: Any) -> bool:
    """Whether it is the partial in which a bash app carries its function."""
    return isinstance(layer, functools.partial) and layer.func is remote_side_bash_executor


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # builtins without a signature
        return {}
