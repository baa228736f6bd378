"""`rhapsody-parsl services`: how a running executor's services are, and orders to them."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, cast

from rhapsody_parsl.cli.asking import asked, parser_of, say, say_json
from rhapsody_parsl.cli.logs import add_options, show_logs
from rhapsody_parsl.control.messages import OrderService, ServiceAction, Services
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("add",)

_ORDERS = "start", "stop", "restart"


def add(commands: Any) -> None:
    """Add the subcommand's parser, and those of its own commands."""
    services = parser_of(commands, "services", "how the services are; start, stop, scale or restart one", run="--run")
    services.add_argument(
        "words",
        nargs="*",
        metavar="RUN | start|stop|restart|logs NAME | scale NAME N[:M]",
        help="default: the newest run",
    )
    services.add_argument("--no-drain", action="store_true", help="stop or restart at once: requests under way fail")
    add_options(services)
    services.set_defaults(run=_services)


def _services(arguments: argparse.Namespace) -> int:
    match arguments.words:
        case ["logs", name]:
            return show_logs(arguments, name)
        case ["start" | "stop" | "restart" as action, name]:
            order = OrderService(name=name, action=cast(ServiceAction, action), drain=not arguments.no_drain)
        case ["scale", name, number]:
            order = OrderService(name=name, action="scale", replicas=_replicas(number), drain=not arguments.no_drain)
        case []:
            order = OrderService()
        case [run] if run not in (*_ORDERS, "scale", "logs"):
            arguments.run_folder, order = run, OrderService()
        case words:
            raise RhapsodyError(f"`services {' '.join(words)}` is no order: {_usage(words)}.")
    answer = asked(arguments, order, Services)
    say_json(answer) if arguments.json else _show(answer, order)
    return 0


def _usage(words: Sequence[str]) -> str:
    if words[0] == "scale":
        return "services scale NAME N, or N:M for at least and at most"
    return (
        f"services {words[0]} NAME"
        if words[0] in (*_ORDERS, "logs")
        else "services [start|stop|scale|restart|logs] NAME"
    )


def _replicas(text: str) -> tuple[int, int]:
    """Return at least and at most of `3` or `2:8`.

    Raises:
        RhapsodyError: It is neither.
    """
    found = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if found is None:
        raise RhapsodyError(f"{text!r} is no number of replicas: N, or N:M for at least and at most.")
    return int(found[1]), int(found[2] or found[1])


def _show(answer: Services, order: OrderService) -> None:
    from rhapsody_parsl.cli import tables  # noqa: PLC0415 - loads rich

    if not answer.services:
        say("This executor has no service.")
        return
    if order.action != "status":
        say(f"Service {order.name}: told to {order.action}.")
    tables.show(tables.statuses_table(answer.services))
