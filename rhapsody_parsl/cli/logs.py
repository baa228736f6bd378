"""`rhapsody-parsl logs`: the logs of a task, a service, the front door, a node or a block."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rhapsody_parsl.cli.asking import asked, parser_of, say, say_json
from rhapsody_parsl.control.messages import Files, FindLogs

__all__ = ("add", "add_options", "show_logs", "tail")

_LINES = 100
_MOST_BYTES = 1 << 20
"""Read of the end of a log."""


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    logs = parser_of(commands, "logs", "the logs of a task, a service, the front door, a node or a block", run="--run")
    logs.add_argument("of", metavar="TASK|SERVICE|NODE|block-N", help="a task's number, or a name; 'front door' is one")
    add_options(logs)
    logs.set_defaults(run=_logs)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how logs are shown."""
    parser.add_argument("--lines", type=int, default=_LINES, metavar="N", help=f"of each, at most; default {_LINES}")
    parser.add_argument("--paths", action="store_true", help="print where they are, and nothing of them")
    parser.add_argument("--follow", action="store_true", help="go on as they grow, until Ctrl-C")


def _logs(arguments: argparse.Namespace) -> int:
    return show_logs(arguments, arguments.of)


def show_logs(arguments: argparse.Namespace, of: str) -> int:
    """Print the logs of something."""
    found = asked(arguments, FindLogs(of=of), Files)
    if arguments.json:
        say_json({"of": found.of, "files": {path: tail(Path(path), arguments.lines) for path in found.files}})
    elif not found.files:
        say(f"No log yet of {found.of}.")
    elif arguments.paths:
        say("\n".join(found.files))
    elif arguments.follow:
        os.execvp("tail", ["tail", f"--lines={arguments.lines}", "-F", *found.files])  # noqa: S606, S607 - wherever it is
    else:
        _print(found.of, found.files, arguments.lines)
    return 0 if found.files else 1


def _print(of: str, files: Sequence[str], lines: int) -> None:
    say(f"# {of}")
    for path in files:
        say(f"# {path}")
        say(tail(Path(path), lines) or "(empty)")


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            text = file.read().decode(errors="replace")
    except OSError as problem:
        return f"(it cannot be read: {problem.strerror})"
    return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""
