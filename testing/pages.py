"""The pages that users read, and what stands on them."""

import re
from pathlib import Path

__all__ = ("PAGES", "ROOT", "examples", "named", "promised")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named(page: Path) -> str:
    """Return a page's name for people: its path from the project's folder."""
    return str(page.relative_to(ROOT))


def examples(page: Path, language: str = "python") -> list[str]:
    """Return the blocks of code of a page.

    Args:
        page: Its file.
        language: The word behind the fence; "" for what a shell is given, and what it shows.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def promised(page: Path) -> list[str]:
    """Return the lines that a page says its examples print."""
    return re.findall(r"# prints (.*)$", "".join(examples(page)), re.MULTILINE)
