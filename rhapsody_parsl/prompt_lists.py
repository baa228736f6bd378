"""A request with a list of prompts as one request for each, and their answers as the one answer. No I/O.

So a list is divided over all replicas, each of which takes the next prompt when it has room. One prompt that is at
fault fails alone, and what a dead engine had is asked again without the rest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ("cut", "joined")

_LISTS = ("prompt", "input")
"""Where a list stands: of a request for text, and of one for embeddings.

A query with a list of documents is not divided: an embedding model reads the query once for all of them.
"""
_ANSWERS = ("choices", "data")
"""Where the answers stand in a response, each with its `index`."""


def cut(request: Mapping[str, Any], each: int = 1) -> list[Mapping[str, Any]]:
    """Return requests for one prompt each, in order.

    Args:
        request: As OpenAI's API has it.
        each: Prompts of each; more than one are a list.

    Returns:
        The request itself alone where it has one prompt (a text, or a list of token ids), a list of one, or a list that
        the engine is to refuse; and where the answer is streamed, for its pieces come in one stream.
    """
    name = next((name for name in _LISTS if name in request), "")
    prompts: Any = request.get(name)
    if request.get("stream") or not _is_list_of_prompts(prompts):
        return [request]
    if each == 1:
        return [{**request, name: prompt} for prompt in prompts]
    return [{**request, name: prompts[start : start + each]} for start in range(0, len(prompts), each)]


def _is_list_of_prompts(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) < 2:  # noqa: PLR2004 - one is not divided
        return False
    return all(isinstance(item, str) for item in value) or all(map(_is_tokens, value))


def _is_tokens(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(token) is int for token in value)


def joined(responses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the response to a list.

    Args:
        responses: To its prompts, in order.

    Returns:
        All choices or embeddings, numbered through, and the sum of what was used; the rest is as in the first one.
    """
    whole = dict(responses[0])
    for name in _ANSWERS:
        if name in whole:
            answers = [answer for response in responses for answer in _in_order(response.get(name))]
            whole[name] = [{**answer, "index": index} for index, answer in enumerate(answers)]
    if "usage" in whole:
        whole["usage"] = _sum([response.get("usage") for response in responses])
    return whole


def _in_order(answers: Any) -> list[Mapping[str, Any]]:
    return sorted(answers or (), key=lambda answer: answer.get("index") or 0)


def _sum(values: Sequence[Any]) -> Any:
    """Add up numbers, and those in dicts; of what is neither the first is taken."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, Mapping) for value in there):
        names = dict.fromkeys(name for value in there for name in value)
        return {name: _sum([value.get(name) for value in there]) for name in names}
    if there and all(isinstance(value, (int, float)) for value in there):
        return sum(there)
    return there[0] if there else None
