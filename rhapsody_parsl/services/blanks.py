"""The blanks of a user's command."""

from collections.abc import Mapping

__all__ = ("fill",)


def fill(text: str, blanks: Mapping[str, str]) -> str:
    """Return a text with its blanks filled in: `{port}` with what `port` is; other braces stay."""
    for blank, value in blanks.items():
        text = text.replace(f"{{{blank}}}", value)
    return text
