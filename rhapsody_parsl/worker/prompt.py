"""From what the body of a request app returns to a full request, as vLLM's API names it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from rhapsody_parsl.annotations.request import ASK, CONTENTS, PARAMETERS
from rhapsody_parsl.errors import ServiceRequestFailed
from rhapsody_parsl.prompt_lists import cut
from rhapsody_parsl.telling import message_of
from rhapsody_parsl.wire.messages import PROMPT, Result, failed
from rhapsody_parsl.worker.call import call

__all__ = ("PROMPT", "as_request", "call_body")

_PAIR = 2


def as_request(value: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request dict.

    Args:
        value: For text: a prompt, a list of prompts, or a list of messages (dicts with `role` and `content`). For
            embeddings: a text or a list of texts. For scores: a query, or several, and a document, or several. For
            each: a request dict, whose keys override the annotation's, with one of `CONTENTS`.
        parameters: The annotation's request parameters.

    Raises:
        TypeError: The value is none of these.
        ValueError: A request dict has an unknown key, or not one of `CONTENTS`.
    """
    given = {key: item for key, item in parameters.items() if key != ASK}
    if isinstance(value, Mapping):
        _check_keys(value)
        return {**given, **value}
    read, wanted = _READERS[parameters.get(ASK, "text")]
    content = read(value)
    if content is None:
        raise TypeError(f"the app must return {wanted}, or a request dict; it returned {type(value).__name__}")
    return {**given, **content}


def _texts(value: Any) -> str | list[str] | None:
    """Return a text, or several; None for what is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        return list(value)
    return None


def _to_complete(value: Any) -> dict[str, Any] | None:
    texts = _texts(value)
    if texts is not None:
        return {"prompt": texts}
    if isinstance(value, (list, tuple)) and value:
        messages = list(value)
        if all(isinstance(item, Mapping) and "role" in item for item in messages):
            return {"messages": [dict(item) for item in messages]}
    return None


def _to_embed(value: Any) -> dict[str, Any] | None:
    texts = _texts(value)
    return None if texts is None else {"input": texts}


def _to_score(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, (list, tuple)) or len(value) != _PAIR:
        return None
    queries, documents = map(_texts, value)
    return None if queries is None or documents is None else {"queries": queries, "documents": documents}


_READERS: dict[str, tuple[Callable[[Any], dict[str, Any] | None], str]] = {
    "text": (
        _to_complete,
        "a prompt, a non-empty list of prompts, or a list of messages with 'role' and 'content'",
    ),
    "embed": (_to_embed, "a text or a non-empty list of texts (ask='embed')"),
    "score": (_to_score, "a query and a list of documents (ask='score')"),
}


def _check_keys(request: Mapping[str, Any]) -> None:
    unknown = sorted(set(request) - PARAMETERS)
    if unknown:
        raise ValueError(f"unknown request parameter '{unknown[0]}'")
    if sum(name in request for name in CONTENTS) != 1:
        raise ValueError(f"a request dict needs one of {', '.join(map(repr, CONTENTS))}")


def call_body(task: int, payload: bytes | memoryview, parameters: bytes) -> Result:
    """Run a request app's body; return its requests as a `Result` of kind PROMPT, or what ended the body instead."""

    def ask(task: int, value: Any, seconds: float) -> Result:
        try:
            request = as_request(value, msgspec.msgpack.decode(parameters) if parameters else {})
            requests = [msgspec.msgpack.encode(one) for one in cut(request)]
            return Result(task, PROMPT, msgspec.msgpack.encode(requests), seconds)
        except BaseException as problem:  # noqa: BLE001 - the value is the user's, and may be of any class
            return failed(task, ServiceRequestFailed("", message_of(problem)))

    return call(task, payload, ask)
