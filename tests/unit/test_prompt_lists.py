"""Requests with lists of prompts, as one request for each."""

from typing import Any

import pytest

from rhapsody_parsl.prompt_lists import cut, joined


@pytest.mark.parametrize(("name", "prompts"), [
    ("prompt", ["a", "b", "c"]),
    ("prompt", ("a", "b")),
    ("prompt", [[1, 2], [3]]),
    ("input", ["a", "b"]),
    ("input", [[1], [2, 3]]),
])  # fmt: skip
def test_each_prompt_of_a_list_is_a_request(name: str, prompts: Any) -> None:
    rest = {"max_tokens": 5, "n": 2, "logprobs": 3}
    assert cut({name: prompts, **rest}) == [{name: prompt, **rest} for prompt in prompts]


@pytest.mark.parametrize("request_", [
    {"prompt": "abc"},
    {"prompt": ["abc"]},
    {"prompt": [1, 2, 3]},
    {"prompt": []},
    {"prompt": ["a", [1]]},
    {"prompt": [[], [1]]},
    {"prompt": [[True], [1]]},
    {"prompt": ["a", 3]},
    {"prompt": ["a", "b"], "stream": True},
    {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
    {"queries": "q", "documents": ["a", "b"]},
    {"input": [{"type": "text"}, {"type": "text"}]},
])  # fmt: skip
def test_what_is_no_list_of_prompts_stays_whole(request_: dict[str, Any]) -> None:
    assert cut(request_) == [request_]


def text(number: int, choices: int, tokens: int) -> dict[str, Any]:
    return {
        "id": f"cmpl-{number}",
        "choices": [{"index": i, "text": f"{number}.{i}"} for i in reversed(range(choices))],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "details": {"cached_tokens": number}, "none": None},
    }


def test_responses_become_one_as_openai_has_it() -> None:
    whole = joined([text(number, choices=2, tokens=number) for number in (1, 2, 3)])
    assert whole["id"] == "cmpl-1"
    assert [choice["index"] for choice in whole["choices"]] == list(range(6))
    assert [choice["text"] for choice in whole["choices"]] == ["1.0", "1.1", "2.0", "2.1", "3.0", "3.1"]
    used = {"prompt_tokens": 3, "completion_tokens": 6, "details": {"cached_tokens": 6}, "none": None}
    assert whole["usage"] == used


def test_embeddings_become_one_list() -> None:
    parts = [{"object": "list", "data": [{"index": 0, "embedding": [n]}], "usage": None} for n in range(3)]
    data = [{"index": n, "embedding": [n]} for n in range(3)]
    assert joined(parts) == {"object": "list", "data": data, "usage": None}
