"""How many tokens a request took, for the record of the run: noted where an answer is read, taken where it is sent."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from rhapsody_parsl.wire.times import RequestTimes

__all__ = ("Usage", "note_usage", "take_usage", "usage_of")

Usage = tuple[int, int]
"""Tokens of the prompt, and of the answer."""

_MOST = 1 << 53
"""More is no count, and no message carries it."""
_noted: ContextVar[Usage] = ContextVar("usage", default=(0, 0))


def usage_of(response: Mapping[str, Any], share: int = 1) -> Usage:
    """Return what a response tells of its tokens; (0, 0) when it tells nothing.

    Args:
        response: Of an OpenAI-compatible server.
        share: How many prompts it answers; of several, each is taken for the mean.
    """
    told = response.get("usage") or {}
    try:
        prompt, answer = int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return 0, 0
    return (prompt // share, answer // share) if 0 <= min(prompt, answer) <= max(prompt, answer) < _MOST else (0, 0)


def note_usage(usage: Usage) -> None:
    """The request of this asyncio task took so many tokens."""
    _noted.set(usage)


def take_usage() -> RequestTimes:
    """Return what was noted in this asyncio task."""
    prompt, tokens = _noted.get()
    return RequestTimes(0.0, 0.0, prompt, tokens)
