"""Stands for `ssh` before a program that starts its own parts with it: on their hosts they run under guard.

Standard library only; `guarded_ssh.py FOLDER GUARD... -- SSH-ARGUMENTS`, where `FOLDER` on the PATH is what led here
and `GUARD` are the guard's argv. The guard is what sshd starts, so it sees the end of the connection as its parent's.
A second one stands under it.
"""

import os
import shlex
import sys
from collections.abc import Sequence

_END = "--"


def script(python: str, folder: str, options: "Sequence[str]") -> str:
    """Return the text of an `ssh` for a folder that comes first on the program's PATH.

    Args:
        python: The interpreter, here and on the other hosts.
        folder: Where the text will lie.
        options: The guards'.
    """
    isolated, here = [python, "-I", "-S"], os.path.abspath(__file__)
    guard = [*isolated, os.path.join(os.path.dirname(here), "guard.py"), *options]
    return f'#!/bin/sh\nexec {shlex.join([*isolated, here, folder, *guard])} {_END} "$@"\n'


def argv(folder: str, guard: "Sequence[str]", arguments: "Sequence[str]") -> "list[str]":
    """Return the argv of the real ssh.

    Args:
        folder: Taken off the command's PATH: what the parts start by ssh themselves is their own affair.
        guard: Its argv.
        arguments: Of the ssh that was called; the last is the command, for a shell.
    """
    *options, command = arguments
    # two, for there is no owner of ours: either does what the other cannot when it is killed
    guarded = [*guard, _END, *guard, _END, "/bin/sh", "-c", command.replace(f"{folder}{os.pathsep}", "")]
    return ["ssh", *options, f"exec {shlex.join(guarded)}"]


def main(arguments: "list[str]") -> None:
    """Become the real ssh."""
    folder, *rest = arguments
    end = rest.index(_END)
    path = [place for place in os.get_exec_path() if place != folder]
    os.environ["PATH"] = os.pathsep.join(path)
    os.execvp("ssh", argv(folder, rest[:end], rest[end + 1 :]))  # noqa: S606, S607 - the one on the PATH, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
