"""`rhapsody-parsl init`: a configuration file for this site."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any, get_args

from rhapsody_parsl.cli.asking import parser_of, say, say_json
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.pythons import dragon_misfit
from rhapsody_parsl.site.facts import SYSTEMS, Site, System, ask, seconds, there_are
from rhapsody_parsl.site.text import Wishes, config_text

__all__ = ("add",)

_FILE = "rhapsody_config.py"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    init = parser_of(commands, "init", "write a configuration file for this site", run="")
    init.add_argument("--output", type=Path, default=Path(_FILE), metavar="FILE", help=f"default {_FILE}")
    init.add_argument("--system", choices=get_args(System), help="default: whose commands are here")
    init.add_argument("--queue", "--partition", default="", help="default: that of jobs which name none")
    init.add_argument("--account", default="", help="account or project; default: the first of this user")
    init.add_argument("--nodes", type=int, default=0, help="of a block; default 2")
    init.add_argument(
        "--walltime", default="", metavar="HH:MM:SS", help="of a block; default 1 hour, or the queue's limit"
    )
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    init.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise RhapsodyError(f"{output} is there already: give another --output, or --force to write over it.")
    guesses: list[System] = [*there_are(), "laptop"]
    system: System = arguments.system or guesses[0]
    site = ask(system, arguments.queue)
    wishes = Wishes(
        account=arguments.account,
        nodes=arguments.nodes,
        walltime=_walltime(arguments.walltime),
        worker_init=_worker_init(),
        dragon=not dragon_misfit(),
    )
    text = config_text(site, wishes)
    try:
        output.write_text(text)
    except OSError as problem:
        raise RhapsodyError(f"{output} cannot be written: {problem.strerror}.") from None
    if arguments.json:
        say_json({"file": str(output), "site": site})
        return 0
    _tell(output, site)
    if site.complaints and not arguments.system:
        say(f"It is for {system} because the command {SYSTEMS[system]} is here; --system takes another.")
    if "=None," in text:
        say("Where it has None, the default of the batch system counts.")
    say(f"Look through it, then try it: rhapsody-parsl doctor --config {output}")
    return 0


def _walltime(text: str) -> int:
    if text and not (found := seconds(text)):
        raise RhapsodyError(f"--walltime {text}: give hours, minutes and seconds, as 01:30:00.")
    return found if text else 0


def _worker_init() -> str:
    """Return what makes this Python's environment ready in a job."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if activate.exists():
        return f"source {shlex.quote(str(activate))}"
    return f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"


def _tell(output: Path, site: Site) -> None:
    queue = f", queue {site.queue.name}" if site.queue else ""
    account = f", account {site.accounts[0]}" if site.accounts else ""
    say(f"{output} is written, for {site.system}{queue}{account}.")
    for option, names in (("queue", site.queues), ("account", site.accounts)):
        if names[1:]:
            say(f"The {option}s here: {', '.join(names)}. --{option} takes another.")
    for complaint in site.complaints:
        say(f"Not known here: {complaint}.")
