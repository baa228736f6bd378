"""What an agent is told of an app: its name, what it does, what it takes and gives."""

import inspect
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.function_kinds import innermost

__all__ = ("about", "chosen", "function_of", "is_app", "is_bash", "name_of")

_NOT_CHOSEN = {"comm", "inputs", "outputs", "stdout", "stderr", "walltime", "parsl_resource_specification"}
"""Parameters that are Parsl's or the runtime's, and no model's to choose."""
_OF_BASH = int | dict[str, Any]
"""What a bash app gives, whose function returns a command line: an exit code, or what its program wrote."""
_OF_ANY_NAME = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def is_app(thing: Any) -> bool:
    """Whether this is an app of Parsl's; none is where nobody has loaded Parsl."""
    return isinstance(thing, getattr(sys.modules.get("parsl.app.app"), "AppBase", ()))


def is_bash(thing: Any) -> bool:
    """Whether this is a bash app of Parsl's."""
    return isinstance(thing, getattr(sys.modules.get("parsl.app.bash"), "BashApp", ()))


def function_of(app: Any) -> Callable[..., Any]:
    """Return the function of an app; a function is its own."""
    function: Callable[..., Any] = app.func if is_app(app) else app
    return function


def name_of(app: Any) -> str:
    """Return what people call it."""
    inner = innermost(function_of(app))
    return str(getattr(inner, "__name__", type(inner).__name__))


def about(app: Any) -> str:
    """Return its docstring, or its name."""
    return inspect.getdoc(innermost(function_of(app))) or name_of(app)


def chosen(app: Any) -> inspect.Signature:
    """Return the parameters that a model chooses, all of them by keyword, and what the call gives.

    Args:
        app: An app, or a function.

    Raises:
        InvalidTask: An annotation names what is not there.
    """
    function = function_of(app)
    signature, hints = inspect.signature(function), _hints(function)
    parameters = [
        each.replace(kind=each.KEYWORD_ONLY, annotation=hints.get(name, each.annotation))
        for name, each in signature.parameters.items()
        if name not in _NOT_CHOSEN and each.kind not in _OF_ANY_NAME
    ]
    given = _OF_BASH if is_bash(app) else hints.get("return", signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=given)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of what is under all layers, evaluated."""
    inner = innermost(function)
    if not inspect.isroutine(inner):  # an object that is called like a function
        inner = type(inner).__call__
    try:
        return get_type_hints(inner, include_extras=True)
    except NameError as problem:
        remedy = "Write the import where the function is defined, and not below TYPE_CHECKING"
        raise InvalidTask("annotations", name_of(function), str(problem), remedy) from None
