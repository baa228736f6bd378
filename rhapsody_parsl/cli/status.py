"""`rhapsody-parsl status` and `drain`: how a running executor is, and its blocks sent home."""

import argparse
from typing import Any

from rhapsody_parsl.cli.asking import asked, parser_of, say, say_json
from rhapsody_parsl.control.messages import DrainBlocks, Draining, RunView, View

__all__ = ("add",)


def add(commands: Any) -> None:
    """Add the subcommands' parsers."""
    parser_of(commands, "status", "how a running executor is: blocks, runtimes, services, tasks").set_defaults(
        run=_status
    )
    drain = parser_of(commands, "drain", "have blocks finish what they have begun, give back the rest and leave")
    drain.add_argument("--block", action="append", default=[], metavar="N", help="only this block; may be repeated")
    drain.set_defaults(run=_drain)


def _status(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.cli import tables  # noqa: PLC0415 - loads rich

    view = asked(arguments, View(), RunView)
    say_json(view) if arguments.json else tables.show(tables.status(view))
    return 0


def _drain(arguments: argparse.Namespace) -> int:
    draining = asked(arguments, DrainBlocks(blocks=tuple(arguments.block)), Draining)
    if arguments.json:
        say_json(draining)
    elif draining.blocks:
        say(f"Draining: block {', '.join(draining.blocks)}. What has begun is finished; the rest runs in others.")
    else:
        say("No block takes tasks: nothing to drain.")
    return 0
