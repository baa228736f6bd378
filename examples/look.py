"""The commands that look at a run, short from where the user is, to paste into a terminal there."""

import shlex
import sys
from pathlib import Path

__all__ = ("look",)


def look(command: str, out: Path) -> str:
    """Return the line that runs a `rhapsody-parsl` command on the runs below a folder.

    Args:
        command: `top` or `report`.
        out: The folder of an example's output.
    """
    program = Path(sys.executable).with_name("rhapsody-parsl")
    return shlex.join([_short(program), command, _short(out / "runinfo")])


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
