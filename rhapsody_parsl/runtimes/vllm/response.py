"""What an app gets of a service's answer."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ("choice_text", "has_many_prompts", "value_of")


def has_many_prompts(request: Mapping[str, Any]) -> bool:
    """Whether a request holds a list of prompts (texts, or lists of token ids)."""
    prompt = request.get("prompt")
    return isinstance(prompt, (list, tuple)) and bool(prompt) and not isinstance(prompt[0], int)


def choice_text(choice: Mapping[str, Any]) -> str:
    """Return the text of one choice of a response, completion or chat; "" when it has none (a tool call)."""
    if "message" in choice:
        return choice["message"].get("content") or ""
    return choice.get("text") or ""


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
