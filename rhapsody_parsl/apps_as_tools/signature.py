"""What an agent is told of an app: its name, what it does, what it takes and gives."""

import inspect
import sys
from collections.abc import Callable, Mapping
from types import GenericAlias
from typing import Any, get_args, get_type_hints

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.function_kinds import gives_pieces, innermost

__all__ = ("about", "check_schemas", "chosen", "function_of", "is_app", "is_bash", "name_of", "placed")

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
        InvalidTask: An annotation names what is not there, or a parameter can never have a value.
    """
    function = function_of(app)
    signature, hints = inspect.signature(function), _hints(function)
    parameters = [
        each.replace(kind=each.KEYWORD_ONLY, annotation=hints.get(name, Any))
        for name, each in signature.parameters.items()
        if name not in _NOT_CHOSEN and each.kind not in _OF_ANY_NAME and not _is_hidden(app, each)
    ]
    given = _OF_BASH if is_bash(app) else hints.get("return", signature.return_annotation)
    if gives_pieces(function) and given is not signature.empty:
        given = GenericAlias(list, (*get_args(given), Any)[:1])
    return signature.replace(parameters=parameters, return_annotation=given)


def check_schemas(app: Any, is_injected: Callable[[Any], bool] = lambda _: False) -> None:
    """See that a model can be told what each parameter takes.

    Args:
        app: An app, or a function.
        is_injected: Whether an annotation says that the model is not told of the parameter.

    Raises:
        InvalidTask: It cannot.
    """
    from pydantic import TypeAdapter  # noqa: PLC0415 - it comes with who serves tools

    for name, parameter in chosen(app).parameters.items():
        try:
            adapter = TypeAdapter(parameter.annotation)
            if not is_injected(parameter.annotation):
                adapter.json_schema()
        except Exception as problem:  # noqa: BLE001 - pydantic has many, and classes have hooks of their own
            why = f"its annotation has no JSON schema ({str(problem).splitlines()[0]})"
            remedy = "Annotate plain data, as list[float], or hide it: a leading underscore and a default"
            raise InvalidTask(name_of(app), name, why, remedy) from None


def _is_hidden(app: Any, parameter: inspect.Parameter) -> bool:
    """Whether the name begins with an underscore: models are told of no such parameter, so it needs a default.

    Raises:
        InvalidTask: It has none.
    """
    if parameter.name.startswith("_") and parameter.default is parameter.empty:
        problem = "a name with a leading underscore is not told to models"
        raise InvalidTask(name_of(app), parameter.name, problem, "Rename the parameter, or give it a default")
    return parameter.name.startswith("_")


def placed(app: Any, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return what a model has chosen as the app takes it: by position what has no name for it, else by keyword."""
    parameters = inspect.signature(function_of(app)).parameters.values()
    first = [each for each in parameters if each.kind is each.POSITIONAL_ONLY]
    while first and first[-1].name not in arguments:
        first.pop()
    names = {each.name for each in first}
    others = {name: value for name, value in arguments.items() if name not in names}
    return [arguments.get(each.name, each.default) for each in first], others


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
