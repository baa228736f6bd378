"""From what the body of a request app returns to a full request, as vLLM's API names it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rhapsody_parsl.annotations.request import PARAMETERS
from rhapsody_parsl.errors import ServiceRequestFailed
from rhapsody_parsl.telling import message_of
from rhapsody_parsl.wire.messages import PROMPT, Result, failed
from rhapsody_parsl.worker.call import call

__all__ = ("PROMPT", "as_request", "call_body")


def as_request(value: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request dict.

    Args:
        value: A prompt, a list of prompts, a list of messages (dicts with `role` and `content`), or a request dict with
            `prompt` or `messages`, whose keys override the annotation's.
        parameters: The annotation's request parameters.

    Raises:
        TypeError: The value is none of these.
        ValueError: A request dict has an unknown key, or none of `prompt` and `messages`.
    """
    if isinstance(value, Mapping):
        _check_keys(value)
        return {**parameters, **value}
    if isinstance(value, str):
        return {**parameters, "prompt": value}
    if isinstance(value, (list, tuple)) and value:
        items = list(value)
        if all(isinstance(item, str) for item in items):
            return {**parameters, "prompt": items}
        if all(isinstance(item, Mapping) and "role" in item for item in items):
            return {**parameters, "messages": [dict(item) for item in items]}
    raise TypeError(
        "the app must return a prompt, a non-empty list of prompts, a list of messages with 'role' and 'content', or a "
        f"request dict; it returned {type(value).__name__}"
    )


def _check_keys(request: Mapping[str, Any]) -> None:
    unknown = sorted(set(request) - PARAMETERS)
    if unknown:
        raise ValueError(f"unknown request parameter '{unknown[0]}'")
    if not ("prompt" in request) ^ ("messages" in request):
        raise ValueError("a request dict needs either 'prompt' or 'messages'")


def call_body(task: int, payload: bytes | memoryview, parameters: bytes) -> Result:
    """Run a request app's body; return its request as a `Result` of kind PROMPT, or what ended the body instead."""

    def ask(task: int, value: Any, seconds: float) -> Result:
        try:
            request = as_request(value, msgspec.msgpack.decode(parameters) if parameters else {})
            return Result(task, PROMPT, msgspec.msgpack.encode(request), seconds)
        except BaseException as problem:  # noqa: BLE001 - the value is the user's, and may be of any class
            return failed(task, ServiceRequestFailed("", message_of(problem)))

    return call(task, payload, ask)
