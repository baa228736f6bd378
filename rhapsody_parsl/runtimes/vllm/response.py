"""What an app gets of a service's answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ("LAST", "Refused", "choice_text", "delta_text", "has_many_prompts", "is_for_text", "pooled", "value_of")

_EVENT = b"data:"
LAST = b"data: [DONE]"
"""The last line of a streamed answer; one that ends without it was cut off."""


class Refused(Exception):  # noqa: N818 - named for what happened
    """A streamed answer says that there is none; the text is the server's own complaint."""


def is_for_text(request: Mapping[str, Any]) -> bool:
    """Whether a request asks for text; else it asks for embeddings or scores, and `pooled` reads the answer."""
    return "input" not in request and "queries" not in request


def pooled(response: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
    """Return the app's value of a request for embeddings or scores.

    Args:
        response: The model's.
        request: What was asked.

    Returns:
        A list of floats for a text, and a float for a pair; a list of them for several texts or documents.
    """
    data = sorted(response.get("data") or [], key=lambda entry: entry.get("index") or 0)
    if "input" in request:
        asked, values = request["input"], [entry["embedding"] for entry in data]
        several = not isinstance(asked, str) and not isinstance(asked[0], int)
    else:
        values = [entry["score"] for entry in data]
        several = any(not isinstance(request.get(name), str) for name in ("queries", "documents"))
    return values if several else values[0]


def has_many_prompts(request: Mapping[str, Any]) -> bool:
    """Whether a request holds a list of prompts (texts, or lists of token ids)."""
    prompt = request.get("prompt")
    return isinstance(prompt, (list, tuple)) and bool(prompt) and not isinstance(prompt[0], int)


def choice_text(choice: Mapping[str, Any]) -> str:
    """Return the text of one choice of a response, completion or chat; "" when it has none (a tool call)."""
    if "message" in choice:
        return choice["message"].get("content") or ""
    return choice.get("text") or ""


def delta_text(event: bytes) -> str:
    """Return the text that an event of a streamed answer brings, of a completion or chat; "" for none.

    Args:
        event: A line, `data:` and JSON.

    Raises:
        Refused: It brings an error.
    """
    name, _, content = event.strip().partition(_EVENT)
    if name or not content or event.strip() == LAST:
        return ""
    chunk = msgspec.json.decode(content)
    if error := chunk.get("error"):
        raise Refused(str(error.get("message") or error) if isinstance(error, dict) else str(error))
    choices = chunk.get("choices") or [{}]
    return choice_text({"message": choices[0]["delta"]} if "delta" in choices[0] else choices[0])


def value_of(texts: Sequence[str], request: Mapping[str, Any]) -> str | list[Any]:
    """Return the app's value.

    Args:
        texts: Of all choices, in the response's order: those of the first prompt, then those of the second ...
        request: What was asked.

    Returns:
        A text for one prompt, a list for a list of prompts; with `n` above 1 a list of `n` texts in place of each text.
    """
    many = has_many_prompts(request)
    each = max(1, len(texts) // len(request["prompt"])) if many else max(1, len(texts))
    groups = [list(texts[start : start + each]) for start in range(0, len(texts), each)]
    wanted = (request.get("n") or 1) > 1
    values: list[Any] = [group if wanted else group[0] for group in groups]
    if many:
        return values
    return values[0] if values else ""
