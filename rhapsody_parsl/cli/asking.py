"""What the commands have in common that ask a running executor: their arguments, the question, JSON."""

import argparse
from typing import Any, TypeVar

import msgspec

from rhapsody_parsl.control.client import ask
from rhapsody_parsl.control.messages import Answer, Request
from rhapsody_parsl.control.runs import find
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("asked", "parser_of", "say", "say_json")

_RUN = "folder of the run, or its number in ./runinfo; default the newest that runs"
A = TypeVar("A", bound=Answer)


def parser_of(commands: Any, name: str, words: str, *, run: str = "run") -> argparse.ArgumentParser:
    """Return a new subcommand's parser.

    Args:
        commands: Of the command line.
        name: The subcommand's.
        words: What it does.
        run: How RUN is given: `run` as the last word, `--run` as an option; "" for a command without.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=words, description=f"{words[0].upper()}{words[1:]}."
    )
    if run == "--run":
        parser.add_argument("--run", dest="run_folder", metavar="RUN", help=_RUN)
    elif run:
        add_run(parser)
    if run:
        parser.add_argument("--executor", metavar="LABEL", help="name of the executor, when the run has several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """Have RUN as a word."""
    parser.add_argument("run_folder", nargs="?", metavar="RUN", help=_RUN)


def asked(arguments: argparse.Namespace, request: Request, kind: type[A]) -> A:
    """Return what the executor answers that the command line means.

    Args:
        arguments: The parsed line.
        request: What is asked.
        kind: Of the answer.

    Raises:
        NoExecutor: There is none, or it does not answer.
        RhapsodyError: It refuses.
    """
    answer = ask(find(arguments.run_folder, arguments.executor).place, request)
    if not isinstance(answer, kind):
        raise RhapsodyError(f"The executor gave another answer than was asked for: {type(answer).__name__}.")
    return answer


def say(text: object = "") -> None:
    """Print to the person at the terminal."""
    print(text)  # noqa: T201 - a command's voice


def say_json(answer: Any) -> None:
    """Print an answer as JSON."""
    say(msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(answer)), indent=1).decode())
