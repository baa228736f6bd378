"""Bash apps whose value is what their program wrote and how it exited: `Policy(output="text")`.

The driver puts `Captured` around the app's function. It calls that where the task runs, while the standard streams are
pipes of ours, which the program inherits. The value is made when nothing writes there any more.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

__all__ = ("Captured", "Completed", "Unfinished")

_CHUNK = 1 << 16
_LAST = 1.0
"""Seconds for the end of a pipe that only another user's process can hold open now."""
_OF_A_NOTE = 2_000
"""Bytes of the standard error that an exception gets as a note."""
_HEADER = b"--> executable follows <--\n", b"\n--> end executable <--\n"
"""Between which Parsl repeats the command line in a redirected standard error."""
_DESCRIPTORS = {"stdout": 1, "stderr": 2}


class Completed(msgspec.Struct, frozen=True):
    """What a program wrote, and how it exited.

    Attributes:
        returncode: Its exit code.
        stdout: What it wrote there; the last `limit` bytes, with U+FFFD for what is no UTF-8.
        stderr: The same of its standard error.
        stdout_size: How many bytes it wrote in all.
        stderr_size: The same of its standard error.
        limit: The most bytes of each that are kept: `Policy(output_limit=...)`.
    """

    returncode: int
    stdout: str
    stderr: str
    stdout_size: int
    stderr_size: int
    limit: int

    @property
    def truncated(self) -> bool:
        """Whether the beginning of either is missing."""
        return max(self.stdout_size, self.stderr_size) > self.limit


class _Stream(Protocol):
    def begin(self) -> None:
        """The program starts next."""

    def end(self) -> None:
        """The program has exited; what it left may still write."""

    def finish(self) -> tuple[bytes, int]:
        """Nothing writes any more: return the last bytes, and how many there were in all."""


class _Pipe:
    """A standard stream of this process, which what it starts inherits; a thread reads it and keeps the end."""

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._number, self._limit = name, _DESCRIPTORS[name], limit
        self._kept, self._size = bytearray(), 0

    def begin(self) -> None:
        _flush(self._name)
        read, write = os.pipe()
        self._copy = os.dup(self._number)
        os.dup2(write, self._number)
        os.close(write)
        self._reader = threading.Thread(target=self._read, args=(read,), name=self._name, daemon=True)
        self._reader.start()

    def end(self) -> None:
        _flush(self._name)
        os.dup2(self._copy, self._number)
        os.close(self._copy)

    def finish(self) -> tuple[bytes, int]:
        self._reader.join(_LAST)
        return bytes(self._kept[max(0, len(self._kept) - self._limit) :]), self._size

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(_CHUNK):
                self._size += len(data)
                self._kept += data
                if len(self._kept) > 2 * self._limit + _CHUNK:
                    del self._kept[: len(self._kept) - self._limit]


class _File:
    """A stream that the app redirects to a file, which is read afterwards."""

    def __init__(self, name: str, given: Any, limit: int) -> None:
        self._name, self._given, self._limit = name, given, limit
        self._path, self._start = "", 0

    def begin(self) -> None:
        from parsl.utils import get_std_fname_mode  # noqa: PLC0415 - Parsl is paid for by who runs its apps

        is_path = isinstance(self._given, os.PathLike)  # a `File` of Parsl's is one, and is written anew
        name, mode = (self._given, "w") if is_path else get_std_fname_mode(self._name, self._given)
        self._path = os.path.abspath(name)
        with suppress(OSError):
            self._start = os.path.getsize(self._path) if "a" in mode else 0

    def end(self) -> None:
        pass

    def finish(self) -> tuple[bytes, int]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._start)
                head = self._header(file.read(_CHUNK))
                size = max(0, os.fstat(file.fileno()).st_size - self._start - head)
                file.seek(self._start + head + max(0, size - self._limit))
                return file.read(self._limit), size
        except OSError:  # the program may have removed it
            return b"", 0

    def _header(self, beginning: bytes) -> int:
        opens, closes = _HEADER
        if self._name == "stderr" and beginning.startswith(opens) and (at := beginning.find(closes)) >= 0:
            return at + len(closes)
        return 0


class Captured:
    """A bash app's function as the driver sends it; a call returns what is to be finished.

    Args:
        function: As Parsl hands it to an executor: it runs the command line that the user's function returns.
        limit: The most bytes that are kept of each stream.
        check: Whether an exit code other than zero raises.
    """

    def __init__(self, function: Callable[..., Any], limit: int, check: bool) -> None:
        self._function, self._limit, self._check = function, limit, check

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; return it `Unfinished`, or what Parsl wraps an error in that is no exit code.

        Raises:
            Exception: Whatever Parsl raises, but for an exit code.
        """
        from parsl.app.errors import BashExitFailure  # noqa: PLC0415 - Parsl is paid for by who runs its apps

        streams = [_stream(name, kwargs, self._limit) for name in _DESCRIPTORS]
        for stream in streams:
            stream.begin()
        try:
            value = self._function(*args, **kwargs)
        except BashExitFailure as problem:
            value = problem
        finally:
            for stream in streams:
                stream.end()
        failure = getattr(value, "e_value", value)  # monitoring leaves Parsl's wrapper around it
        if isinstance(failure, BashExitFailure):
            return Unfinished(streams, self._limit, failure.exitcode, failure if self._check else None)
        return Unfinished(streams, self._limit, value, None) if value == 0 else value

    def __eq__(self, other: object) -> bool:
        """Whether it is the same function to be called alike: so it is written once, and not for each task."""
        return type(other) is Captured and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> tuple[Callable[..., Any], int, bool]:
        return self._function, self._limit, self._check


class Unfinished:
    """A program that has exited; what it left running may still write.

    Args:
        streams: Its output and its error.
        limit: The most bytes of each.
        code: Its exit code.
        failure: What to raise instead of returning that.
    """

    def __init__(self, streams: list[_Stream], limit: int, code: int, failure: Exception | None) -> None:
        self._streams, self._limit, self._code, self._failure = streams, limit, code, failure

    def finish(self) -> Completed:
        """Return the value, once nothing writes any more.

        Raises:
            Exception: Parsl's `BashExitFailure`, with the end of the standard error as a note.
        """
        (out, out_size), (error, error_size) = (stream.finish() for stream in self._streams)
        if self._failure:
            if said := error[-_OF_A_NOTE:].decode(errors="replace").strip():
                self._failure.add_note(f"The end of its standard error:\n{said}")
            raise self._failure
        text, error_text = (data.decode(errors="replace") for data in (out, error))
        return Completed(self._code, text, error_text, out_size, error_size, self._limit)


def _stream(name: str, kwargs: Mapping[str, Any], limit: int) -> _Stream:
    given = kwargs.get(name)
    return _Pipe(name, limit) if given is None else _File(name, given, limit)


def _flush(name: str) -> None:
    with suppress(Exception):  # a task may have put anything there
        getattr(sys, name).flush()
