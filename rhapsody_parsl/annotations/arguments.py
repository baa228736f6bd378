"""Arguments of public constructors, taken for what their annotations say before a line of the constructor runs.

Typeguard asks a value for its class, which is the value's own code, and takes no number of numpy's. Here nothing is
asked, numpy's scalars and subclasses of built-in types are taken for what they are, and an error is one sentence.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from rhapsody_parsl.annotations.plain import is_a, is_scalar, plain
from rhapsody_parsl.errors import InvalidTask

__all__ = ("checked", "taken", "without_path")

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "True or False", NoneType: "None",
    dict: "a dict", list: "a list",
}  # fmt: skip
_PLAIN = (str, int, float, bool)


def checked(method: Callable[P, R]) -> Callable[P, R]:
    """Have the arguments of a method taken for what their annotations say; a decorator.

    Annotations may be built-in types, classes, lists of objects of a class, `Callable`, and unions of these; what has
    none, or `Any`, is passed on.

    Args:
        method: A constructor or another method.
    """
    names = [p.name for p in inspect.signature(method).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    hints = functools.cache(lambda: get_type_hints(method))  # not before it is called: a class below may be named

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        first = [taken(name, value, hints().get(name, Any)) for name, value in zip(names, args, strict=False)]
        keywords = {name: taken(name, value, hints().get(name, Any)) for name, value in kwargs.items()}
        rest: Any = args[len(first) :]  # of what is too much the method complains
        return method(*first, *rest, **keywords)

    return call


def without_path(value: Any) -> Any:
    """Return a path's text; anything else as it is."""
    return PurePath.__str__(value) if issubclass(type(value), PurePath) else value


def taken(key: str, value: Any, wanted: Any) -> Any:
    """Return a value as what an annotation wants.

    Args:
        key: What it is, for the error.
        value: Anything.
        wanted: The annotation.

    Raises:
        InvalidTask: It is nothing that is wanted.
    """
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if Any in kinds or any(_is_object(value, kind) for kind in kinds):
        return value
    return _converted(key, value, kinds)


def _is_object(value: Any, kind: Any) -> bool:
    """Whether a value is an object of a kind, as it stands."""
    if kind in _PLAIN:
        return type(value) is kind
    if get_origin(kind) is list:
        return type(value) is list and all(is_a(type(item), get_args(kind)[0]) for item in value)
    if get_origin(kind) is Callable:
        return callable(value)
    return is_a(type(value), get_origin(kind) or kind)


def _converted(key: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """Return what a value is among plain kinds.

    Raises:
        InvalidTask: It is nothing that is wanted.
    """
    plain_kinds = [kind for kind in kinds if kind in _PLAIN]
    bare = without_path(value)
    given = plain(bare, key) if plain_kinds and is_scalar(type(bare)) else None
    if given is not None and (type(given) in plain_kinds or (type(given) is int and float in plain_kinds)):
        return given
    if type(given) is float and int in plain_kinds and given.is_integer():
        return int(given)
    raise InvalidTask(
        key, value, f"{' or '.join(_word(kind) for kind in kinds if kind is not int or float not in kinds)} is needed"
    )


def _word(kind: Any) -> str:
    if get_origin(kind) is list:
        return f"a list of {get_args(kind)[0].__name__} objects"
    if get_origin(kind) is Callable:
        return "a function"
    return _WORDS.get(kind, f"an object of {getattr(kind, '__name__', kind)}")
