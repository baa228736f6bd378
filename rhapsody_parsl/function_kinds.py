"""Of which kind a callable is that people give, and what is inside it: under wrappers and partials."""

import functools
import inspect
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

__all__ = ("gives_coroutine", "gives_pieces", "innermost", "layers")

_MOST_LAYERS = 100


def layers(function: Any, carried: Callable[[Any], Any] = attrgetter("func")) -> Iterator[Any]:
    """Peel a function: `functools.wraps` layers and partials.

    An object that answers to every name is wrapped without an end.

    Args:
        function: The outermost.
        carried: Takes a partial and returns the function that it carries.

    Yields:
        The outermost first.
    """
    for _ in range(_MOST_LAYERS):
        yield function
        if hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, functools.partial):
            function = carried(function)
        else:
            return


def innermost(function: Any) -> Any:
    """Return what is under all layers."""
    *_, inner = layers(function)
    return inner


def gives_pieces(function: Callable[..., Any]) -> bool:
    """Whether a call gives a generator, an asynchronous one too."""
    return _is_one(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def gives_coroutine(function: Callable[..., Any]) -> bool:
    """Whether a call needs an event loop: it gives a coroutine or an asynchronous generator."""
    return _is_one(function, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def _is_one(function: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether what is under all layers, a function or an object that is called like one, is of a kind."""
    inner = innermost(function)
    method = None if isinstance(inner, type) else getattr(type(inner), "__call__", None)  # noqa: B004 - the method itself
    return any(kind(inner) or kind(method) for kind in kinds)
