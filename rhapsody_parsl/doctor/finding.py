"""One thing that `doctor` has found, for people and for bug reports: without secrets."""

import getpass
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ("Finding", "Mark", "cleaned", "problem")

Mark = Literal["ok", "note", "warning", "problem"]
"""`note` is neither good nor bad; a `problem` keeps something from running here."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found.

    Attributes:
        area: Of what.
        what: Was looked at.
        mark: How it is.
        said: How it is, in words.
        remedy: What to do.
    """

    area: str
    what: str
    said: str
    mark: Mark = "ok"
    remedy: str = ""


def problem(area: str, what: str, error: BaseException, mark: Mark = "problem") -> Finding:
    """Return an error as a finding."""
    said = str(error).strip() or type(error).__name__
    return Finding(area=area, what=what, said=said, mark=mark)


def cleaned(finding: Finding) -> Finding:
    """Return a finding without the user's name and home: it may go into a public bug report."""
    words = {key: _clean(getattr(finding, key)) for key in ("what", "said", "remedy")}
    return msgspec.structs.replace(finding, **words)


def _clean(text: str) -> str:
    home, user = str(Path.home()), getpass.getuser()
    text = text.replace(home, "~") if len(home) > 1 else text
    return text.replace(f"/{user}", "/USER") if user != "root" else text
