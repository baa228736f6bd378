"""A request at the door: what it asks, of whom, and how its client has it served."""

import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import msgspec
from aiohttp import web

from rhapsody_parsl.door.models import Model
from rhapsody_parsl.door.prefixes import prefix_of
from rhapsody_parsl.door.queue import Turn
from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.prompt_lists import cut

__all__ = ("PRIORITY_HEADER", "SESSION_HEADER", "TIMEOUT_HEADER", "Call", "asked_in")

SESSION_HEADER, PRIORITY_HEADER, TIMEOUT_HEADER = "X-Session-Id", "X-Rhapsody-Priority", "X-Rhapsody-Timeout"
_DIVIDED = ("/v1/completions", "/v1/embeddings")
"""Where a list of prompts is divided over replicas."""
_PARTS, _LONGEST = 64, 32
"""Parts of a list of texts to embed, at least, and texts in each, at most."""
_MOST_PRIORITY = 1 << 63
_PASSED_ON = ("Content-Type", "Accept", "X-Request-Id", "Traceparent", "Tracestate")


def asked_in(body: bytes) -> dict[str, Any]:
    """Return what a body asks.

    Raises:
        Refusal: It is no JSON object.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as problem:  # no JSON, no UTF-8, or too deep
        raise Refusal(400, f"The body is no JSON object: {problem}") from None


class Call:
    """A request.

    Args:
        request: As it came.
        body: What it asks, in its client's bytes.
        asked: The same, read.
        model: Whom it asks.
        now: The time.

    Attributes:
        path: Where it goes.
        model: See above.
        headers: Of it, which are passed on.
        turn: Its turn among those that wait.
        came: When it came.
        timeout: Seconds within which its answer must begin; None is any time.
        place: Of its prompts in the list of which it is a part, for people; "" for none.

    Raises:
        Refusal: A header is no number.
    """

    def __init__(self, request: web.Request, *, body: bytes, asked: dict[str, Any], model: Model, now: float) -> None:
        self.place = ""
        self.path, self.model, self.came, self._body, self._asked = request.path, model, now, body, asked
        self.headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        session, priority = request.headers.get(SESSION_HEADER, ""), _number_in(request.headers, PRIORITY_HEADER)
        self.turn = Turn(prefix_of(asked), session, _priority_in(asked) if priority is None else priority)
        self.timeout = _number_in(request.headers, TIMEOUT_HEADER)

    def pieces(self) -> "list[Call]":
        """Return calls for the parts of a list of prompts; none where it is to be answered by one replica.

        Texts to embed all take the same time, and go in longer parts.
        """
        if self.path not in _DIVIDED:
            return []
        texts = self._asked.get("input")
        each = min(_LONGEST, max(1, len(texts) // _PARTS)) if isinstance(texts, list) else 1
        parts = cut(self._asked, each)
        return [self._part(dict(part), n * each, each) for n, part in enumerate(parts)] if len(parts) > 1 else []

    def _part(self, asked: dict[str, Any], first: int, most: int) -> "Call":
        part, last = copy(self), first + (len(asked["input"]) if most > 1 else 1) - 1
        part.place = f"prompt {first}" if first == last else f"prompts {first} to {last}"
        part._body, part._asked, part.timeout = msgspec.json.encode(asked), asked, None
        part.turn = Turn(prefix_of(asked), priority=self.turn.priority)  # a session would have all at one replica
        return part

    @property
    def body(self) -> bytes:
        """The body, with the name by which the replicas know their model."""
        name = self._asked.get("model")
        known_as = self.model.known_as(name) if name is not None else None
        return self._body if known_as == name else msgspec.json.encode({**self._asked, "model": known_as})


def _number_in(headers: Mapping[str, str], name: str) -> float | None:
    if (text := headers.get(name)) is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refusal(400, f"{name}: {text[:100]!r} is no number")
    return number


def _priority_in(asked: Mapping[str, Any]) -> float:
    """Return the priority in a body, as vLLM has it; what is none is for the engine to refuse."""
    priority = asked.get("priority")
    return float(priority) if type(priority) is int and abs(priority) < _MOST_PRIORITY else 0.0
