"""Constructors that name the keyword a misspelt one may have meant, and the class that was given for an object."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import StructMeta

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.wording import clip, name_of_class, nearest

__all__ = ("Spelled", "spelled")

T = TypeVar("T")


def spelled(kind: type[T]) -> type[T]:
    """Check the arguments of a class' constructor by name; a class decorator, which leaves the signature as it is.

    Args:
        kind: A class with an `__init__` of its own, dataclasses included.
    """
    original: Callable[..., None] = kind.__init__
    parameters = list(inspect.signature(original).parameters.values())[1:]
    known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    takes_any = len(known) < len(parameters)

    @functools.wraps(original)
    def init(self: T, *args: Any, **kwargs: Any) -> None:
        named = {**dict(zip(known, args, strict=False)), **kwargs}
        if not takes_any:
            _check_names(kind, kwargs, known)
        elif missing := [name for name in needed if name not in named]:
            _check_names(kind, {name: kwargs[name] for name in kwargs if nearest(name, missing)}, known)
        _check_objects(kind, named)
        original(self, *args, **kwargs)

    init.__wrapped__ = inspect.unwrap(original)  # Parsl's `RepresentationMixin` looks under one layer only
    kind.__init__ = init  # type: ignore[assignment,method-assign]  # the same signature
    return kind


class Spelled(StructMeta):
    """The same for msgspec's structs, whose constructor is no `__init__`."""

    if not TYPE_CHECKING:  # a type checker reads the fields

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Check the arguments' names, and make the struct."""
            _check_names(self, kwargs, self.__struct_fields__)
            _check_objects(self, {**dict(zip(self.__struct_fields__, args, strict=False)), **kwargs})
            return super().__call__(*args, **kwargs)


def _check_names(kind: type, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            hint = nearest(name, known) or f"Known are {', '.join(known) or 'none'}"
            raise TypeError(f"{kind.__name__}() got an unexpected keyword argument '{clip(name)}'. {hint}")


def _check_objects(kind: type, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        for item in value if type(value) is list or type(value) is tuple else (value,):
            if issubclass(type(item), type):
                word = name_of_class(item)
                raise InvalidTask(
                    f"{kind.__name__}({name})", value, f"{word} is a class, and an object of it is needed",
                    f"Write {word}(...)",
                )  # fmt: skip
