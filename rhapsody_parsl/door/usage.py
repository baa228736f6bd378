"""How many tokens an answer has, read from its bytes as they pass: what its engine says, else the pieces of a stream.

An engine says it beside the answer, and in a stream only if its client asks for that (`stream_options`).
"""

import re

__all__ = ("Tokens",)

_EVENT = b"data: {"
_LAST = b"data: [DONE]"
_USAGE = b'"usage":'
_NEAR = 400
"""Bytes after the word in which the numbers are."""
_TAIL = 2048
"""Bytes of the end of a stream in which the word is."""
_counts_in = re.compile(rb'"(prompt|input|completion|output)_tokens"\s*:\s*(\d{1,15})\b').findall
_OF_PROMPT = b"prompt", b"input"


class Tokens:
    """Counts the tokens of one answer."""

    __slots__ = ("_events", "_tail")

    def __init__(self) -> None:
        self._tail, self._events = b"", 0

    def take(self, data: bytes) -> None:
        """These bytes came; those of an answer that is no stream come at once."""
        self._events += data.count(_EVENT)
        self._tail = data if not self._tail else (self._tail[-_TAIL:] + data)[-_TAIL:]

    def are_all(self) -> bool:
        """Whether the last event of a stream came."""
        return self._tail.rstrip().endswith(_LAST)

    def counts(self) -> tuple[int, int, bool]:
        """Return tokens of the prompt and of the answer, 0 where nobody knows, and whether pieces were counted."""
        at = self._tail.rfind(_USAGE)
        found = dict(_counts_in(self._tail, at, at + _NEAR)) if at >= 0 else {}
        prompt = next((int(found[name]) for name in _OF_PROMPT if name in found), 0)
        answer = next((int(number) for name, number in found.items() if name not in _OF_PROMPT), 0)
        if found:
            return prompt, answer, False
        return 0, self._events, self._events > 0
