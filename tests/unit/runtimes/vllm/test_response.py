from typing import Any

import pytest

from rhapsody_parsl.runtimes.vllm.response import (
    Refused,
    choice_text,
    delta_text,
    has_many_prompts,
    is_for_text,
    pooled,
    value_of,
)


@pytest.mark.parametrize(
    ("texts", "request_", "value"),
    [
        (["a"], {"prompt": "x"}, "a"),
        (["a"], {"prompt": [1, 2, 3]}, "a"),
        (["a"], {"messages": []}, "a"),
        (["a"], {"prompt": ["x"]}, ["a"]),
        (["a", "b"], {"prompt": ["x", "y"]}, ["a", "b"]),
        (["a", "b"], {"prompt": [[1], [2, 3]]}, ["a", "b"]),
        (["a", "b"], {"prompt": "x", "n": 2}, ["a", "b"]),
        (["a", "b", "c", "d"], {"prompt": ["x", "y"], "n": 2}, [["a", "b"], ["c", "d"]]),
        (["a"], {"prompt": "x", "n": 1}, "a"),
        (["a"], {"prompt": "x", "n": None}, "a"),
        ([], {"prompt": "x"}, ""),
    ],
)
def test_the_value_has_the_shape_of_the_request(texts: list[str], request_: dict[str, Any], value: Any) -> None:
    assert value_of(texts, request_) == value


def test_many_prompts_are_texts_or_lists_of_tokens() -> None:
    assert has_many_prompts({"prompt": ["a"]})
    assert has_many_prompts({"prompt": [[1]]})
    assert not has_many_prompts({"prompt": [1]})
    assert not has_many_prompts({"prompt": "a"})
    assert not has_many_prompts({"prompt": []})
    assert not has_many_prompts({"messages": [{}]})


@pytest.mark.parametrize(
    ("request_", "value"),
    [
        ({"input": "x"}, [1.0]),
        ({"input": [5, 6]}, [1.0]),
        ({"input": ["x", "y"]}, [[1.0], [2.0]]),
        ({"input": [[5], [6]]}, [[1.0], [2.0]]),
        ({"queries": "x", "documents": "a"}, 0.5),
        ({"queries": "x", "documents": ["a", "b"]}, [0.5, 0.25]),
        ({"queries": ["x", "y"], "documents": "a"}, [0.5, 0.25]),
    ],
)
def test_embeddings_and_scores_have_the_shape_of_the_request(request_: dict[str, Any], value: Any) -> None:
    one, two = {"index": 0, "embedding": [1.0], "score": 0.5}, {"index": 1, "embedding": [2.0], "score": 0.25}
    assert not is_for_text(request_)
    assert pooled({"data": [two, one]}, request_) == value


def test_a_choice_without_text_is_empty() -> None:
    assert choice_text({"text": "a"}) == "a"
    assert choice_text({"message": {"content": "b"}}) == "b"
    assert choice_text({"message": {"content": None, "tool_calls": [{}]}}) == ""
    assert choice_text({"text": None}) == ""


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (b'data: {"choices": [{"text": "ab"}]}\n\n', "ab"), (b'data: {"choices": [{"delta": {"content": "c"}}]}', "c"),
        (b'data: {"choices": [{"delta": {"role": "assistant"}}]}', ""), (b'data: {"choices": [], "usage": {}}', ""),
        (b"data: [DONE]\n", ""), (b"\n", ""), (b": a comment", ""), (b"event: message", ""), (b"data:", ""),
    ],
)  # fmt: skip
def test_what_an_event_of_a_streamed_answer_brings(event: bytes, text: str) -> None:
    assert delta_text(event) == text


@pytest.mark.parametrize("error", [b'{"message": "too long"}', b'"too long"'])
def test_an_event_may_be_an_error(error: bytes) -> None:
    with pytest.raises(Refused, match=r"^too long$"):
        delta_text(b'data: {"error": ' + error + b"}")
