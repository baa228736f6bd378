"""Which files processes open and look for, as `strace` writes it down: one file of calls per thread."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ("NODE_LOCAL", "Counts", "Traced", "below", "read", "strace")

NODE_LOCAL = ("/dev", "/proc", "/sys", "/tmp", "/run", "/var/run")  # noqa: S108 - compared, not written
"""Folders that are on every node's own disk or in its memory."""
_OPENS = {"open", "openat", "openat2", "execve"}
_LOOKS = {"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat"}
_FORKS = {"fork", "vfork", "clone", "clone3"}
_LINE = re.compile(r"(\d+\.\d+) (\w+)\((.*)\) = (-?\d+)")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FOLDER = re.compile(r'[^"]*?<([^>]*)>, "')


def strace(into: Path, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one and leaves its calls in a folder."""
    calls = ",".join(sorted(_OPENS | _LOOKS | _FORKS))
    trace = ["strace", "-ff", "-qq", "-y", "-ttt", "-s", "65536", "-e", "signal=none", "-e", f"trace={calls}"]
    return [*trace, "-o", str(into / "calls"), *command]


@dataclass
class Counts:
    """What was opened (programs that were started, too), looked at and found, and looked for and not found."""

    opened: int = 0
    of_environment: int = 0
    looked_at: int = 0
    missing: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum."""
        return Counts(*(ours + theirs for ours, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass
class Traced:
    """A process.

    Attributes:
        parent: Its parent's id, 0 for the first.
        commands: The programs that it was, oldest first.
        calls: Time, kind, path, and whether it was there, for each call.
    """

    parent: int = 0
    commands: list[str] = field(default_factory=list)
    calls: list[tuple[float, str, str, bool]] = field(default_factory=list)

    def counts(self, until: float, environment: Collection[str]) -> Counts:
        """Count what its last program until a time touches outside of node-local disk, that program included.

        Args:
            until: Seconds since the epoch.
            environment: Folders of Python and its packages, which count wherever they are.
        """
        calls = [call for call in self.calls if call[0] <= until]
        programs = [number for number, (_, kind, _, found) in enumerate(calls) if kind == "execve" and found]
        counts = Counts()
        for _, kind, path, found in calls[programs[-1] if programs else 0 :]:
            if not _within(path, NODE_LOCAL) or _within(path, environment):
                counts.missing += not found
                counts.looked_at += found and kind in _LOOKS
                counts.opened += found and kind in _OPENS
                counts.of_environment += found and kind in _OPENS and _within(path, environment)
        return counts


def _within(path: str, folders: Collection[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def read(folder: Path) -> dict[int, Traced]:
    """Return the processes of a trace by their ids; what threads do counts for their process."""
    lines = {int(file.suffix[1:]): list(_calls(file)) for file in folder.glob("calls.*")}
    processes: dict[int, Traced] = {}
    parents, threads = _family(lines)
    for pid, calls in lines.items():
        process = processes.setdefault(_process(pid, threads), Traced())
        for time, kind, words, result in calls:
            if kind == "execve" and result >= 0:
                process.commands.append(_path(words))
            if kind not in _FORKS and (path := _path(words)):
                process.calls.append((time, kind, path, result >= 0))
    for pid, process in processes.items():
        process.parent = _process(parents.get(pid, 0), threads)
        process.calls.sort()
    return processes


def _calls(file: Path) -> Iterator[tuple[float, str, str, int]]:
    for line in file.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            time, kind, words, result = match.groups()
            yield float(time), kind, words, int(result)


def _family(lines: dict[int, list[tuple[float, str, str, int]]]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the parent of each process, and the maker of each thread."""
    parents: dict[int, int] = {}
    threads: dict[int, int] = {}
    for pid, calls in lines.items():
        for _, kind, words, result in calls:
            if kind in _FORKS and result > 0:
                (threads if "CLONE_THREAD" in words else parents)[result] = pid
    return parents, threads


def _process(pid: int, threads: dict[int, int]) -> int:
    while pid in threads:
        pid = threads[pid]
    return pid


def _path(words: str) -> str:
    """Return the path that a call is about, "" for an open file."""
    word = _WORD.search(words)
    if word is None or not word[1]:
        return ""
    folder = _FOLDER.match(words)
    return os.path.normpath(os.path.join(folder[1] if folder else "/", _text(word[1])))


def _text(word: str) -> str:
    return word.encode().decode("unicode_escape", errors="replace") if "\\" in word else word


def below(processes: Mapping[int, Traced], root: int, programs: bool) -> list[int]:
    """Return a process and those below it.

    Args:
        processes: All.
        root: The first.
        programs: Whether to go on below those that have become programs of their own.
    """
    found = [root]
    for pid in found:
        found += [pid_ for pid_, child in processes.items() if child.parent == pid and (programs or not child.commands)]
    return found
