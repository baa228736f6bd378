"""How a request begins, as numbers that are equal where requests begin alike: no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

__all__ = ("BLOCK", "prefix_of")

BLOCK = 256
"""Characters, or tokens, of one number. An engine keeps its cache in blocks of 16 tokens, or a few more."""
_MOST_BLOCKS = 64


def prefix_of(request: Mapping[str, Any]) -> tuple[int, ...]:
    """Return a number for each whole block at the beginning of a prompt, which stands for all up to its end.

    Args:
        request: The body of a request, whatever it is.
    """
    numbers: list[int] = []
    before = 0
    for block in islice(_blocks(request), _MOST_BLOCKS):
        before = hash((before, block))
        numbers.append(before)
    return tuple(numbers)


def _blocks(request: Mapping[str, Any]) -> Iterator[Any]:
    tokens = _tokens(request.get("prompt"))
    if tokens is not None:
        whole: Sequence[Any] = tokens
    else:
        whole = _text(request)
    for start in range(0, len(whole) - BLOCK + 1, BLOCK):
        block = whole[start : start + BLOCK]
        yield block if isinstance(block, str) else tuple(block)


def _tokens(prompt: Any) -> list[Any] | None:
    """Return the tokens of a prompt that is given so, or of the first of several."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], list):
        prompt = prompt[0]
    most = BLOCK * _MOST_BLOCKS
    first = prompt[:most] if isinstance(prompt, list) else []
    return first if first and all(isinstance(token, int) for token in first) else None


def _text(request: Mapping[str, Any]) -> str:
    """Return the beginning of what a model reads."""
    parts: list[str] = []
    most = BLOCK * _MOST_BLOCKS
    for part in _parts([request.get(name) for name in ("instructions", "tools", "messages", "prompt", "input")]):
        parts.append(part)
        most -= len(part)
        if most <= 0:
            break
    return "\0".join(parts)


def _parts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts in a value, in order: of messages the roles, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth < 8:  # noqa: PLR2004 - deeper than any request is
        for each in value.values() if isinstance(value, dict) else value:
            yield from _parts(each, depth + 1)
