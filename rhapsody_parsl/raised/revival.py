"""How the driver makes an exception of an account: as itself where its class can be opened, else as its text."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar, cast

import msgspec
import tblib

from rhapsody_parsl.errors import RemoteError
from rhapsody_parsl.payload import open_value
from rhapsody_parsl.raised.account import Account, Frame, Part
from rhapsody_parsl.telling import message_of, notes_of, said

__all__ = ("revive",)

_LONGEST = 5.0
"""Seconds for opening an exception."""
_BARE: Any = BaseException
"""Its descriptors set what they are for, whatever a subclass does with the name."""
Problem = TypeVar("Problem", bound=BaseException)


def revive(data: bytes | memoryview) -> Exception:
    """Return what was raised; always an `Exception` with a usable message, for Parsl would wait for ever with another.

    Args:
        data: An encoded account.

    Raises:
        msgspec.MsgspecError: It is none.
    """
    account = msgspec.msgpack.decode(data, type=Account)
    made: list[Exception] = []
    thread = threading.Thread(target=lambda: made.append(_opened(account)), name="opens an exception", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system has no room for one
        return _opened(account)
    thread.join(_LONGEST)  # opening runs the user's code, and who waits here answers for all tasks
    return made[0] if made else _only_words(account, f"opening it took more than {_LONGEST:g} s")


def _opened(account: Account) -> Exception:
    try:
        return _exception(account)
    except BaseException as problem:  # noqa: BLE001 - it looks at an object of a class of the user's
        return _only_words(account, said(problem))


def _only_words(account: Account, why: str) -> Exception:
    return _dressed(_in_words(account, why), account.bare())


def _exception(account: Account) -> Exception:
    problem = _made(account)
    return problem if isinstance(problem, Exception) else _dressed(_as_exception(problem, account), account)


def _made(account: Account) -> BaseException:
    """Return an exception as itself, or the text of one that cannot be opened."""
    attempts = _Attempts(account)
    usable: list[BaseException] = []
    opened: list[BaseException] = []
    for problem in attempts:
        opened.append(problem)
        if _is_usable(problem):
            if message_of(problem) == account.message:
                return _dressed(problem, account)
            usable.append(problem)
    if usable:
        return _dressed(usable[0], account)
    for problem in opened:
        if _calm(problem, account):
            return _dressed(problem, account)
    return _dressed(_in_words(account, attempts.problem), account)


def _in_words(account: Account, why: str) -> RemoteError:
    return RemoteError(account.name, account.message, account.text, account.notes, why)


class _Attempts:
    """The ways to open an exception, the best one first.

    Attributes:
        problem: Why the first that failed did.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self.problem = account.problem

    def __iter__(self) -> Iterator[BaseException]:
        ways: list[Callable[[], BaseException]]
        ways = [self._open_whole, self._assemble, lambda: self._assemble(as_text=True)]
        if self._account.members:
            ways = [*ways[1:], ways[0]]  # its members, by themselves, may be what cannot be opened
        for way in ways:
            try:
                problem = way()
            except BaseException as problem_:  # noqa: BLE001 - opening runs the user's code
                self.problem = self.problem or said(problem_)
            else:
                yield problem

    def _open_whole(self) -> BaseException:
        if not self._account.whole:
            raise ValueError(self._account.problem)
        problem = open_value(self._account.whole)
        if not isinstance(problem, BaseException):
            raise TypeError(f"its __reduce__ makes a {type(problem).__name__} of it")
        return problem

    def _assemble(self, as_text: bool = False) -> BaseException:
        """Put it together from its parts, without its class's `__init__`, `__reduce__` and `__setstate__`.

        Args:
            as_text: Whether attributes that stayed where they were are their `repr` here, else they are missing.
        """
        account = self._account
        kind = open_value(account.kind)
        builtin = _builtin_of(kind)
        opened = [_value(part) for part in account.args]
        stayed = [f"argument {place} ({why})" for place, (_, why) in enumerate(opened) if why]
        args: list[Any] = [value for value, _ in opened]
        if account.members:
            args = [args[0], [_exception(member) for member in account.members]]
        problem: BaseException = builtin.__new__(kind, *args)
        builtin.__init__(problem, *args)
        for name, part in account.state.items():
            value, why = _value(part)
            stayed += [f"attribute {name!r} ({why})"] if why else []
            if as_text or not why:
                problem.__dict__[name] = value
        if stayed:
            BaseException.add_note(problem, f"Not all of it could leave the task's process: {', '.join(stayed)}.")
        return problem


def _value(part: Part) -> tuple[Any, str]:
    """Return the value of a part and "", or its `repr` and why it cannot be opened."""
    if not part.data:
        return part.text, part.problem
    try:
        return open_value(part.data), ""
    except BaseException as problem:  # noqa: BLE001 - opening runs the user's code
        return part.text, said(problem)


def _is_usable(problem: BaseException) -> bool:
    """Whether Parsl and `concurrent.futures` can work with it: they ask for its `repr` and its truth."""
    try:
        return bool(problem) and isinstance(str(problem), str) and isinstance(repr(problem), str)
    except BaseException:  # noqa: BLE001 - the user's code may raise anything
        return False


def _calm(problem: BaseException, account: Account) -> bool:
    """Give an exception, which stays one of its class, a message that can be asked for; False when it takes none."""
    kind = type(problem)
    shown = f"{kind.__name__}({account.message!r})"
    calm = {"__str__": lambda _: account.message, "__repr__": lambda _: shown, "__bool__": lambda _: True}
    try:
        named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        metaclass: Any = type(kind)
        problem.__class__ = metaclass(kind.__name__, (kind,), {**named, **calm})
        return _is_usable(problem)
    except BaseException:  # noqa: BLE001 - a metaclass is the user's code
        return False


def _as_exception(problem: BaseException, account: Account) -> RemoteError:
    """Return what may be caught as the `BaseException` that was raised, but passes where an `Exception` does."""
    kind = type(problem)
    why = f"{account.name} is no Exception, and ends what it passes through"
    facts = (account.name, account.message, account.text, account.notes, why)
    args = (problem.message, problem.exceptions) if isinstance(problem, BaseExceptionGroup) else ()
    try:
        named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        reduce = {"__reduce__": lambda _: (RemoteError, facts)}
        both = _builtin_of(kind).__new__(type(kind.__name__, (RemoteError, kind), {**named, **reduce}), *args)
        RemoteError.__init__(both, *facts)
    except Exception:  # noqa: BLE001 - some classes cannot have two bases
        return RemoteError(*facts)
    return cast(RemoteError, both)


def _builtin_of(kind: type[BaseException]) -> Any:
    """Return the class of Python's own that an exception's class is made of."""
    return next(each for each in kind.__mro__ if each.__module__ == "builtins")


def _dressed(problem: Problem, account: Account) -> Problem:
    """Return an exception with the traceback, the notes and the causes that it had."""
    _BARE.with_traceback(problem, _traceback(account.frames))
    _BARE.__context__.__set__(problem, _made(account.context) if account.context else None)
    _BARE.__cause__.__set__(problem, _made(account.cause) if account.cause else None)
    _BARE.__suppress_context__.__set__(problem, account.suppressed)
    own = [note for note in notes_of(problem) if note not in account.notes]
    if account.notes or own or not _has_readable_notes(problem):
        problem.__dict__["__notes__"] = [*account.notes, *own]
    return problem


def _has_readable_notes(problem: BaseException) -> bool:
    """Whether Python can look for notes, as it does to print an exception."""
    try:
        getattr(problem, "__notes__", None)
    except BaseException:  # noqa: BLE001 - looking is the user's code
        return False
    return True


def _traceback(frames: list[Frame]) -> TracebackType | None:
    node = None
    for frame in reversed(frames):
        code = SimpleNamespace(co_filename=frame.file, co_name=frame.function)
        place = {"__file__": frame.file, "__name__": frame.module}
        shown = SimpleNamespace(f_code=code, f_globals=place, f_lineno=frame.line)
        node = SimpleNamespace(tb_frame=shown, tb_lineno=frame.line, tb_next=node)
    made: TracebackType | None = tblib.Traceback(node).as_traceback() if node else None
    return made
