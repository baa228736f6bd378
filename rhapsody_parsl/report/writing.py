"""Writes what is made of a record to files."""

from importlib.util import find_spec
from pathlib import Path

from rhapsody_parsl.errors import Unwritable
from rhapsody_parsl.record import RunRecord
from rhapsody_parsl.report.page import page
from rhapsody_parsl.report.table import requests_table, table
from rhapsody_parsl.report.trace import trace

__all__ = ("write_report", "write_trace")


def write_report(run: RunRecord, path: Path) -> list[Path]:
    """Write the page, and beside it tables of all tasks and requests and, with matplotlib, a picture; return all.

    Args:
        run: The run.
        path: Of the page; the others have its name with another ending.

    Raises:
        Unwritable: There is no room for them, or no such folder.
    """
    files = {path: page(run), path.with_suffix(".csv"): table(run)}
    if run.requests:
        files[path.with_name(f"{path.stem}-requests.csv")] = requests_table(run)
    try:
        for name, text in files.items():
            name.write_text(text, "utf-8")
        return [*files, *_draw(run, path.with_suffix(".png"))]
    except OSError as problem:
        raise Unwritable(str(path.parent), "the report", str(problem), "-o") from problem


def _draw(run: RunRecord, path: Path) -> list[Path]:
    if find_spec("matplotlib") is None:
        return []
    from rhapsody_parsl.report.picture import draw  # noqa: PLC0415 - few have it, and it takes half a second

    draw(run, path)
    return [path]


def write_trace(run: RunRecord, path: Path) -> None:
    """Write the trace.

    Args:
        run: The run.
        path: Where to.

    Raises:
        Unwritable: There is no room for it, or no such folder.
    """
    try:
        path.write_bytes(trace(run))
    except OSError as problem:
        raise Unwritable(str(path.parent), "the trace", str(problem), "-o") from problem
