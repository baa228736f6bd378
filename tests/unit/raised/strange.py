"""What tasks raise: each function's name is its kind. A copy of this file is a module that only the task's side has."""

import asyncio
import socket
import sys
import threading
import time
import warnings
from typing import Any

REASON = "the real reason"


class Plain(Exception):
    pass


class Picky(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} is {second}")


class Doubling(Exception):
    """Opens, but wrongly: what it was made of is not in its arguments."""

    def __init__(self, first: str, second: str = "nothing") -> None:
        super().__init__(f"{first} {second}")


class NoInit(Exception):
    made = False

    def __init__(self, *args: Any) -> None:
        if type(self).made:
            raise RuntimeError("once only")
        type(self).made = True
        super().__init__(*args)


class NoReduce(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("no pickles here")


class NotItself(Exception):
    def __reduce__(self) -> Any:
        return str, ("a text",)


class NoSetstate(Exception):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.code = 7

    def __setstate__(self, state: Any) -> None:
        raise KeyboardInterrupt


class NoStr(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class NotText(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]  # that is the point


class NoRepr(Exception):
    def __repr__(self) -> str:
        raise ValueError("no words")


class Falsy(Exception):
    def __len__(self) -> int:
        return 0


class Stubborn(Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} is fixed")


class NoNotes(Exception):
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} here")


class NoAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{REASON}: no {name} here")


class Hangs(Exception):
    def __reduce__(self) -> Any:
        return time.sleep, (100,)


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("this one stays here")


class Thing:
    number, words = 0, [""]


class Unopenable:
    def __reduce__(self) -> Any:
        return __import__, ("no_such_module_anywhere",)


class Ours(Exception):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pocket, self.code = Unpicklable(), 7


class Odd(BaseExceptionGroup[Any]):
    def __new__(cls, message: str, members: Any, extra: int = 0) -> "Odd":
        return super().__new__(cls, message, members)


class Ends(BaseException):
    pass


class Coded(OSError):
    pass


def plain() -> None:
    raise Plain(REASON)


def picky() -> None:
    raise Picky(REASON, "this")


def doubling() -> None:
    raise Doubling(REASON, "this")


def init_raises() -> None:
    raise NoInit(REASON)


def reduce_raises() -> None:
    raise NoReduce(REASON)


def reduces_to_another() -> None:
    raise NotItself(REASON)


def setstate_raises() -> None:
    raise NoSetstate(REASON)


def str_raises() -> None:
    raise NoStr(REASON)


def str_is_no_text() -> None:
    raise NotText(REASON)


def repr_raises() -> None:
    raise NoRepr(REASON)


def false() -> None:
    raise Falsy(REASON)


def fixed_attributes() -> None:
    raise Stubborn(REASON)


def unpicklable_attribute() -> None:
    raise Ours(REASON)


def unpicklable_arguments() -> None:
    raise Plain(REASON, Unpicklable(), socket.socket, sys._getframe(), (n for n in "ab"))


def unopenable_argument() -> None:
    raise Plain(REASON, Unopenable())


def lambda_and_lock() -> None:
    raise Plain(REASON, lambda: 1, threading.Lock())


def traceback_in_arguments() -> None:
    try:
        raise KeyError(1)
    except KeyError as problem:
        raise Plain(REASON, problem.__traceback__, problem) from None


def system_error() -> None:
    raise Coded(2, REASON, "a file")


def surrogates() -> None:
    raise Plain(f"{REASON} \udcff")


def of_the_function() -> None:
    class Inner(Exception):
        pass

    raise Inner(REASON)


def endless() -> None:
    def deeper(n: int) -> None:
        deeper(n + 1)

    try:
        deeper(0)
    except RecursionError as problem:
        raise RecursionError(REASON).with_traceback(problem.__traceback__) from problem


def warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn(REASON, UserWarning, stacklevel=1)


def group() -> None:
    inner = ExceptionGroup("inner", [Picky("a", "b"), Ours("c")])
    raise ExceptionGroup(REASON, [Plain("first"), inner, NoReduce("last")])


def odd_group() -> None:
    raise Odd(REASON, [Ours("first"), Picky("a", "b")], 3)


def strange_cause() -> None:
    try:
        raise Ours("the cause")
    except Ours as problem:
        raise Plain(REASON) from problem


def circular_causes() -> None:
    problem, other = Plain(REASON), Plain("other")
    problem.__cause__, other.__cause__, other.__context__ = other, problem, problem
    raise problem


def long_chain() -> None:
    problem: Exception = ValueError("first")
    for number in range(2000):
        later = ValueError(str(number))
        later.__cause__ = problem
        problem = later
    raise Plain(REASON) from problem


def keyboard_interrupt() -> None:
    raise KeyboardInterrupt(REASON)


def generator_exit() -> None:
    raise GeneratorExit(REASON)


def cancelled() -> None:
    raise asyncio.CancelledError(REASON)


def base_exception() -> None:
    raise Ends(REASON)


def wide_group() -> None:
    raise BaseExceptionGroup(REASON, [KeyboardInterrupt("inside"), Plain("beside")])


def ten_megabytes() -> None:
    raise Plain(REASON + " " + "x" * 10_000_000)


KINDS = [
    plain, picky, doubling, init_raises, reduce_raises, reduces_to_another, setstate_raises, str_raises, str_is_no_text,
    repr_raises, false, fixed_attributes, unpicklable_attribute, unpicklable_arguments, unopenable_argument,
    lambda_and_lock, traceback_in_arguments, system_error, surrogates, of_the_function, endless, warning, group,
    odd_group, strange_cause, circular_causes, long_chain, keyboard_interrupt, generator_exit, cancelled,
    base_exception, wide_group, ten_megabytes,
]  # fmt: skip


def with_a_note(kind: str) -> None:
    """Raise, with a note."""
    try:
        globals()[kind]()
    except BaseException as problem:
        BaseException.__dict__["__dict__"].__get__(problem)["__notes__"] = ["a note"]
        raise
