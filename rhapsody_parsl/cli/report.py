"""`rhapsody-parsl report` and `trace`: what a run was like."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ("add",)

_RUN = "a run directory of Parsl, an executor's folder in it, or a record; default the newest run in ./runinfo"


def add(commands: Any) -> None:
    """Add the subcommands' parsers."""
    for name, run, what in (
        ("report", _report, "write a page about a run, with a table and a picture beside it"),
        ("trace", _trace, "write a run as a trace that ui.perfetto.dev opens"),
    ):
        parser = commands.add_parser(name, help=what)
        parser.add_argument("run_dir", metavar="RUN", nargs="?", default="runinfo", help=_RUN)
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"default {name}.* beside the record")
        parser.set_defaults(run=run)


def _report(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.report.writing import write_report  # noqa: PLC0415 - what it needs, it imports when it runs

    return _each(arguments, "report.html", write_report)


def _trace(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.report.writing import write_trace  # noqa: PLC0415 - as above

    def write(run: Any, path: Path) -> list[Path]:
        write_trace(run, path)
        return [path]

    return _each(arguments, "trace.json", write)


def _each(arguments: argparse.Namespace, name: str, write: Callable[[Any, Path], list[Path]]) -> int:
    """Write for each record of the run; tell what was written."""
    from rhapsody_parsl.record import find, read  # noqa: PLC0415 - as above

    records = find(arguments.run_dir)
    for record, path in zip(records, _places(records, arguments.output, name), strict=True):
        for written in write(read(record), path):
            print(written)  # noqa: T201 - to the person at the terminal
    return 0


def _places(records: list[Path], output: Path | None, name: str) -> Iterator[Path]:
    """Yield where to write; several executors of a run have their labels in the names."""
    for record in records:
        if output is None:
            yield record.with_name(name)
        elif len(records) == 1:
            yield output
        else:
            yield output.with_stem(f"{output.stem}-{record.parent.name}")
