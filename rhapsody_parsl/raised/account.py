"""What a worker tells of an exception: its bytes, its parts one by one, and its text, whichever of them can be had."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from rhapsody_parsl.errors import RemoteError
from rhapsody_parsl.payload import pack_value
from rhapsody_parsl.telling import bounded, message_of, notes_of, printed, qualified, repr_of, said

__all__ = ("Account", "Frame", "Part", "account_of", "encoded", "in_words")

_MOST_TEXT = 64_000
"""Characters of the printed exception, all its causes with it."""
_MOST_OWN_TEXT = 8_000
"""The same of a cause or a group's member, by itself."""
_MOST_EXCEPTIONS = 300
_MOST_DEPTH = 50
_MOST_FRAMES = 100
"""At either end of a traceback."""
_MOST_PARTS = 100
_MOST_COPIED = 64_000
"""Bytes of a part that travel a second time, when the whole could be pickled too."""
_BARE: Any = BaseException
"""Its descriptors read what they are for, whatever a subclass does with the name."""


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """A line of a traceback."""

    file: str
    function: str
    line: int
    module: str


class Part(msgspec.Struct, array_like=True, frozen=True):
    """An argument or an attribute: its pickle, b"" for one that stays; its `repr`; why it stays."""

    data: bytes
    text: str
    problem: str = ""


class Account(msgspec.Struct, array_like=True, frozen=True):
    """An exception, taken apart.

    Attributes:
        name: Of its class, with the module.
        message: What `str` says of it.
        notes: Its notes.
        text: As Python prints it.
        frames: Its traceback.
        whole: The exception's pickle, or b"".
        problem: Why there is none.
        kind: Its class's pickle, or b"".
        args: Its arguments; of a group the message alone.
        state: Its attributes.
        cause: Its `__cause__`, as for the others.
        context: See there.
        suppressed: See there.
        members: Of a group.
    """

    name: str
    message: str
    notes: list[str] = []
    text: str = ""
    frames: list[Frame] = []
    whole: bytes = b""
    problem: str = ""
    kind: bytes = b""
    args: list[Part] = []
    state: dict[str, Part] = {}
    cause: "Account | None" = None
    context: "Account | None" = None
    suppressed: bool = False
    members: list["Account"] = []

    def bare(self) -> "Account":
        """Return the same without the exceptions that it came with."""
        return msgspec.structs.replace(self, cause=None, context=None, members=[])


def encoded(problem: BaseException, note: str = "") -> bytes:
    """Return an exception's account as bytes; never raises.

    Args:
        problem: The exception.
        note: One more note for it.
    """
    try:
        return msgspec.msgpack.encode(account_of(problem, note))
    except BaseException as other:  # noqa: BLE001 - its class is the user's code
        bare = Account(qualified(type(problem)), message_of(problem), [note] if note else [], problem=said(other))
        return msgspec.msgpack.encode(bare)


def account_of(problem: BaseException, note: str = "") -> Account:
    """Return an exception's account, see `encoded`."""
    account = _Teller().tell(problem)
    assert account is not None  # noqa: S101 - the first is never left out
    notes = [*account.notes, note] if note else account.notes
    text = "\n".join([printed(problem, _MOST_TEXT).rstrip("\n"), *([note] if note else [])])
    return msgspec.structs.replace(account, notes=notes, text=text)


def in_words(problem: BaseException, why: str) -> RemoteError:
    """Return an exception as its text.

    Args:
        problem: The exception.
        why: It does not go as itself.
    """
    text = printed(problem, _MOST_TEXT)
    return RemoteError(qualified(type(problem)), message_of(problem), text, notes_of(problem), why)


class _Teller:
    """Tells each exception of a chain once: causes may go round in a circle."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def tell(self, problem: BaseException | None, depth: int = 0) -> Account | None:
        if problem is None or id(problem) in self._seen or depth > _MOST_DEPTH or len(self._seen) >= _MOST_EXCEPTIONS:
            return None
        self._seen.add(id(problem))
        inner = problem.exceptions if isinstance(problem, BaseExceptionGroup) else ()
        members = [self.tell(member, depth + 1) for member in inner]
        whole, why = _packed(problem)
        args, state = _parts(problem, bool(whole))
        return Account(
            name=qualified(type(problem)),
            message=message_of(problem),
            notes=notes_of(problem),
            text=printed(problem, _MOST_OWN_TEXT, chain=False),
            frames=_frames(problem),
            whole=whole,
            problem=why,
            kind=_packed(type(problem))[0],
            args=args[:1] if inner else args,
            state=state,
            cause=self.tell(_BARE.__cause__.__get__(problem), depth + 1),
            context=self.tell(_BARE.__context__.__get__(problem), depth + 1),
            suppressed=problem.__suppress_context__,
            members=[member for member in members if member],
        )


def _packed(value: Any) -> tuple[bytes, str]:
    """Return a value's pickle and "", or b"" and why there is none."""
    try:
        return pack_value(value), ""
    except BaseException as problem:  # noqa: BLE001 - pickling runs the user's code
        return b"", bounded(said(problem), 500)


def _parts(problem: BaseException, whole: bool) -> tuple[list[Part], dict[str, Part]]:
    """Return arguments and attributes, as the builtin class below the user's knows them."""
    builtin: Any = next(kind for kind in type(problem).__mro__ if kind.__module__ == "builtins")
    _, args, *rest = builtin.__reduce__(problem)
    state = rest[0] if rest and isinstance(rest[0], dict) else {}
    names = [name for name in state if isinstance(name, str) and name != "__notes__"][:_MOST_PARTS]
    return (
        [_part(value, whole) for value in args[:_MOST_PARTS]],
        {bounded(name, 200): _part(state[name], whole) for name in names},
    )


def _part(value: Any, whole: bool) -> Part:
    data, why = _packed(value)
    if whole and len(data) > _MOST_COPIED:
        data, why = b"", "it is large"
    return Part(data, repr_of(value), why)


def _frames(problem: BaseException) -> list[Frame]:
    first: list[Frame] = []
    last: deque[Frame] = deque(maxlen=_MOST_FRAMES)
    count, traceback = 0, problem.__traceback__
    while traceback is not None:
        code, line = traceback.tb_frame.f_code, traceback.tb_lineno or 0
        module = traceback.tb_frame.f_globals.get("__name__", "")
        frame = Frame(bounded(code.co_filename, 2000), bounded(code.co_name, 500), line, bounded(str(module), 500))
        (first if count < _MOST_FRAMES else last).append(frame)
        count, traceback = count + 1, traceback.tb_next
    return [*first, *_left_out(count - len(first) - len(last)), *last]


def _left_out(count: int) -> Sequence[Frame]:
    return [Frame("<left out>", f"{count} frames", 1, "")] if count else []
