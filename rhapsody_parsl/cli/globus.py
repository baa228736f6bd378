"""`rhapsody-parsl globus`: endpoints of Globus Compute."""

import argparse
from typing import Any

from rhapsody_parsl.errors import MissingPackage

__all__ = ("add",)

_READY = """The endpoint {name} is ready:
  {template}   what a user endpoint runs; look through it first
  {environment}          its variables: PATH leads to a command that knows RhapsodyEngine
Start it with
  rhapsody-globus-compute-endpoint start {name}"""


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    group = commands.add_parser("globus", help="endpoints of Globus Compute").add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    init = group.add_parser("init", help="write the folder of a ready endpoint")
    init.add_argument("name", help="the endpoint's name")
    init.add_argument(
        "--template", default="local", help="local (default), slurm, or a file: the user endpoints' configuration"
    )
    init.add_argument("--contact-email", help="needed for an endpoint that runs as root")
    init.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    try:
        from rhapsody_parsl.globus_compute.endpoint_folder import write_endpoint  # noqa: PLC0415 - it loads much
    except ImportError as problem:
        raise MissingPackage(problem.name or "globus_compute_endpoint", "globus", "here") from None
    folder = write_endpoint(arguments.name, arguments.template, arguments.contact_email)
    ready = _READY.format(name=arguments.name, template=folder.template, environment=folder.environment)
    print(ready)  # noqa: T201 - to the person at the terminal
    return 0
