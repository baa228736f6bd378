"""`rhapsody-parsl tasks` and `cancel`: the tasks of a running executor, what waits and why."""

import argparse
from typing import Any

from rhapsody_parsl.cli.asking import asked, parser_of, say, say_json
from rhapsody_parsl.control.messages import Cancelled, CancelTasks, ListTasks, TaskTable
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("add",)

_LISTED = 100
"""Tasks one by one, unless the person says how many."""


def add(commands: Any) -> None:
    """Add the subcommands' parsers."""
    tasks = parser_of(commands, "tasks", "the tasks by app and state, what waits, and why")
    tasks.add_argument("--app", default="", metavar="NAME", help="only of this app")
    tasks.add_argument(
        "--list",
        type=int,
        nargs="?",
        const=_LISTED,
        default=0,
        metavar="N",
        help=f"list the first N; default {_LISTED}",
    )
    tasks.set_defaults(run=_tasks)
    cancel = parser_of(commands, "cancel", "cancel tasks, waiting or running", run="--run")
    cancel.add_argument("tasks", nargs="*", type=int, metavar="TASK", help="number of a task, as `tasks --list` has it")
    cancel.add_argument("--app", default="", metavar="NAME", help="all tasks of this app")
    cancel.set_defaults(run=_cancel)


def _tasks(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.cli import tables, task_tables  # noqa: PLC0415 - loads rich

    found = asked(arguments, ListTasks(app=arguments.app, most=arguments.list), TaskTable)
    say_json(found) if arguments.json else tables.show(task_tables.task_table(found))
    return 0


def _cancel(arguments: argparse.Namespace) -> int:
    if not arguments.tasks and not arguments.app:
        raise RhapsodyError(
            "Say what to cancel: numbers of tasks, as `rhapsody-parsl tasks --list` has them, or --app."
        )
    answer = asked(arguments, CancelTasks(tasks=tuple(arguments.tasks), app=arguments.app), Cancelled)
    if arguments.json:
        say_json(answer)
    else:
        say(f"{len(answer.tasks)} cancelled.")
        if answer.missing:
            say(f"Not there, or ended already: {', '.join(map(str, answer.missing))}.")
    return 1 if answer.missing else 0
