"""`rhapsody-parsl doctor`: what is installed here, what the system allows, and whether a block would work."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.cli.asking import parser_of, say_json

if TYPE_CHECKING:
    from rich.text import Text

    from rhapsody_parsl.doctor.finding import Finding

__all__ = ("add",)

_MARKS = {"ok": ("ok", "green"), "note": ("-", "dim"), "warning": ("!", "yellow"), "problem": ("x", "red")}


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    doctor = parser_of(commands, "doctor", "what is here, what the system allows, and whether a block works", run="")
    doctor.add_argument("--config", type=Path, metavar="FILE", help="check this configuration file, too")
    doctor.add_argument("--no-test", action="store_true", help="start no block, which takes up to 20 seconds")
    doctor.add_argument("--clean", action="store_true", help="remove what dead runs have left on this host")
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.doctor.finding import cleaned  # noqa: PLC0415 - as below

    found = [cleaned(finding) for finding in _findings(arguments)]
    if arguments.json:
        say_json(found)
    else:
        _show(found)
    return int(any(finding.mark == "problem" for finding in found))


def _findings(arguments: argparse.Namespace) -> Iterator["Finding"]:
    from rhapsody_parsl.doctor import batch, leavings, self_test, software, system  # noqa: PLC0415 - loads Parsl

    yield from software.installed()
    runtimes = list(software.runtimes())
    yield from runtimes
    yield from system.allowed()
    yield from system.addresses()
    yield from batch.batch_system()
    yield from leavings.removed() if arguments.clean else leavings.left_behind()
    if arguments.config:
        from rhapsody_parsl.doctor.config_file import check_file  # noqa: PLC0415 - loads Parsl

        yield from check_file(arguments.config)
    if not arguments.no_test:
        yield from self_test.try_runtimes({finding.what for finding in runtimes if finding.mark == "ok"})


def _show(found: Sequence["Finding"]) -> None:
    from rhapsody_parsl.cli.tables import console_of  # noqa: PLC0415 - loads rich

    console = console_of()
    for area, findings in groupby(found, key=lambda finding: finding.area):
        console.print(area, style="bold")
        for finding in findings:
            console.print(_line(finding), soft_wrap=True)


def _line(finding: "Finding") -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only here

    mark, colour = _MARKS[finding.mark]
    remedy = f"  -> {finding.remedy}" if finding.remedy else ""
    return Text.assemble(f"  {'':2}", (f"{mark:3}", colour), f"{finding.what:22} ", finding.said, (remedy, "bold"))
