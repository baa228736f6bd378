"""The message of an exception, bounded, whatever its class does when it is asked for them."""

import reprlib
import traceback
from typing import Any

__all__ = ("bounded", "described", "message_of", "notes_of", "printed", "qualified", "repr_of", "said")

_MOST_MESSAGE = 8_000
_MOST_NOTES = 100
_MOST_REPR = 2_000
_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother, _repr.maxlong = 6, 500, 500, 100
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 20


def bounded(text: str, most: int) -> str:
    """Return a text that can be sent: without lone surrogates, and with its middle left out when it is too long."""
    text = str.__str__(text)
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def qualified(kind: type) -> str:
    """Return a class's name, with its module unless that is `builtins`."""
    try:
        module, name = str(kind.__module__), str(kind.__qualname__)
    except BaseException:  # noqa: BLE001 - a metaclass is the user's code
        module, name = "builtins", type.__getattribute__(kind, "__name__")
    return bounded(name if module == "builtins" else f"{module}.{name}", _MOST_REPR)


def message_of(problem: BaseException) -> str:
    """Return what `str` says of an exception; where that raises, what its arguments say, and that it raises."""
    try:
        return bounded(str(problem), _MOST_MESSAGE)
    except BaseException as other:  # noqa: BLE001 - the user's code may raise anything
        try:
            text = BaseException.__str__(problem)
        except BaseException:  # noqa: BLE001 - as above
            text = ""
        return bounded(f"{text} [its __str__ raised {qualified(type(other))}]".strip(), _MOST_MESSAGE)


def said(problem: BaseException) -> str:
    """Return class and message in one line."""
    return f"{qualified(type(problem))}: {message_of(problem)}"


def notes_of(problem: BaseException) -> list[str]:
    """Return the notes of an exception; what is no text becomes its `repr`."""
    try:
        notes: Any = problem.__notes__
        if not isinstance(notes, (list, tuple)):
            return [repr_of(notes)]
        texts = [note if isinstance(note, str) else repr_of(note) for note in notes[:_MOST_NOTES]]
        return [bounded(text, _MOST_MESSAGE) for text in texts]
    except BaseException:  # noqa: BLE001 - most have none, and an attribute may be the user's code
        return []


def printed(problem: BaseException, most: int, chain: bool = True) -> str:
    """Return an exception as Python prints it, `most` characters of it.

    Args:
        problem: The exception.
        most: Characters; more lose their middle.
        chain: Whether its causes are printed too.
    """
    try:
        return bounded("".join(traceback.format_exception(problem, chain=chain)), most)
    except BaseException:  # noqa: BLE001 - it asks the user's classes
        return bounded(said(problem), most)


def repr_of(value: Any) -> str:
    """Return what `repr` says of a value, cut short."""
    try:
        return bounded(_repr.repr(value), _MOST_REPR)
    except BaseException as problem:  # noqa: BLE001 - the user's code may raise anything
        return f"<{qualified(type(value))}, whose __repr__ raised {qualified(type(problem))}>"


def described(value: Any) -> str:
    """Return a value's type with the article."""
    name = qualified(type(value))
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
