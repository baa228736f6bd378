"""When a command is ready, as text that travels: `tcp`, `http:/path`, `log:regex`, or a function of the user's."""

import base64
import re
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.telling import said
from rhapsody_parsl.wording import nearest

__all__ = ("checked", "function_in", "is_function", "of_function", "shown", "way_of")

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, partial)
_WAYS = ("tcp", "http", "log", "call")


def way_of(word: str) -> tuple[str, str]:
    """Return the way, one of `tcp`, `http`, `log` and `call`, and what it is told."""
    way, _, rest = word.partition(":")
    return way, rest


def shown(word: str) -> str:
    """Return what people see of it: of a function its name."""
    way, rest = way_of(word)
    return rest.partition(":")[0] if way == "call" else repr(word)


def is_function(value: Any) -> bool:
    """Whether a value is a function that can be asked; no code of the value's class runs."""
    return any(type(value) is function for function in _FUNCTIONS)  # `in` would ask the class whether it is equal


def of_function(function: Callable[..., Any], key: str) -> str:
    """Return the word for a function; it travels as apps do: by its code, or by the name of its module.

    Args:
        function: Called with host and port.
        key: What errors call it.

    Raises:
        InvalidTask: It cannot be serialized.
    """
    import dill  # noqa: PLC0415 - few services have a function

    name = getattr(function, "__name__", "partial")
    try:
        packed = base64.b64encode(dill.dumps(function)).decode()
    except Exception as problem:
        why = f"it cannot be sent to the block: {said(problem)}"
        raise InvalidTask(key, name, why, "Write a function that needs nothing but its arguments") from problem
    return f"call:{name}:{packed}"


def function_in(rest: str) -> tuple[str, Callable[..., Any]]:
    """Return name and function of what follows `call:`.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    import dill  # noqa: PLC0415 - as above

    name, _, packed = rest.partition(":")
    return name, dill.loads(base64.b64decode(packed))


def checked(word: Any, key: str) -> None:
    """Refuse what says nothing.

    Args:
        word: As the user wrote it, or `of_function` did.
        key: What errors call it.

    Raises:
        InvalidTask: It is no way that there is, or lacks what it is to be told.
    """
    way, rest = way_of(word) if isinstance(word, str) else ("", "")
    told = {"tcp": word == "tcp", "http": rest.startswith("/"), "log": bool(rest), "call": ":" in rest}
    if not told.get(way):
        allowed = "allowed are tcp, http:/path, log:regex and a function of host and port"
        raise InvalidTask(key, word, allowed, "" if way in _WAYS else nearest(way, _WAYS[:3]))
    if way == "http" and not all("!" <= character <= "~" for character in rest):
        raise InvalidTask(
            key, word, "a path has no blanks, and ASCII only", "Write it as in a URL, with %20 for a blank"
        )
    if way == "log":
        try:
            re.compile(rest)
        except re.error as problem:
            raise InvalidTask(key, word, f"no regular expression: {problem}") from None
