"""`rhapsody-parsl`: the command line.

A subcommand is a module with `add(commands)`, which adds a parser whose default `run` takes the parsed line and returns
the exit status. What it needs, it imports when it runs.
"""

import argparse
import sys
from collections.abc import Sequence

from rhapsody_parsl import __version__
from rhapsody_parsl.cli import doctor, globus, init, inventory, logs, mcp, report, services, status, tasks, top
from rhapsody_parsl.errors import NoExecutor, RhapsodyError

__all__ = ("main", "parser")

_SUBCOMMANDS = (top, status, tasks, logs, services, report, doctor, inventory, init, mcp, globus)
_NO_EXECUTOR = 3
"""Exit status; argparse takes 2 for a line that is none of ours."""


def parser() -> argparse.ArgumentParser:
    """Return what reads a command line."""
    made = argparse.ArgumentParser(prog="rhapsody-parsl", description="Tools around rhapsody_parsl.")
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for subcommand in _SUBCOMMANDS:
        subcommand.add(commands)
    return made


def main(line: Sequence[str] | None = None) -> int:
    """Run a command line; default that of the process.

    Returns:
        The exit status: 1 for one of our errors, printed as its sentence and its page; 3 when no executor is reached.
    """
    arguments = parser().parse_args(line)
    try:
        return int(arguments.run(arguments))
    except RhapsodyError as error:
        print(error, *error.__notes__, sep="\n", file=sys.stderr)  # noqa: T201 - to the person at the terminal
        return _NO_EXECUTOR if isinstance(error, NoExecutor) else 1


if __name__ == "__main__":
    sys.exit(main())
