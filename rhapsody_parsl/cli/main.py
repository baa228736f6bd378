"""`rhapsody-parsl`: the command line.

A subcommand is a module with `add(commands)`, which adds a parser whose default `run` takes the parsed line and returns
the exit status. What it needs, it imports when it runs.
"""

import argparse
import sys
from collections.abc import Sequence

from rhapsody_parsl import __version__
from rhapsody_parsl.cli import globus, mcp
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("main",)

_SUBCOMMANDS = (globus, mcp)


def main(line: Sequence[str] | None = None) -> int:
    """Run a command line; default that of the process.

    Returns:
        The exit status: 1 for one of our errors, which is printed as its sentence.
    """
    parser = argparse.ArgumentParser(prog="rhapsody-parsl", description="Tools around rhapsody_parsl.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for subcommand in _SUBCOMMANDS:
        subcommand.add(commands)
    arguments = parser.parse_args(line)
    try:
        return int(arguments.run(arguments))
    except RhapsodyError as error:
        print(error, file=sys.stderr)  # noqa: T201 - to the person at the terminal
        return 1


if __name__ == "__main__":
    sys.exit(main())
