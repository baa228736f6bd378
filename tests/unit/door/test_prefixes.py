from typing import Any

import pytest

from rhapsody_parsl.door.prefixes import BLOCK, prefix_of

LONG = "The quick brown fox jumps over the lazy dog. " * 100


def shared(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return how many numbers two requests begin with alike."""
    pairs = zip(prefix_of(one), prefix_of(other), strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(prefix_of(one)), len(prefix_of(other))))


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": LONG}, {"role": "user", "content": text}]}


def test_requests_that_begin_alike_have_equal_numbers_up_to_where_they_part() -> None:
    assert shared({"prompt": LONG + "a" * 999}, {"prompt": LONG + "b" * 999}) == len(LONG) // BLOCK
    assert shared(user("a" * 999), user("b" * 999)) >= len(LONG) // BLOCK
    assert shared({"prompt": "x" + LONG}, {"prompt": LONG}) == 0


def test_a_number_stands_for_all_that_is_before_it() -> None:
    one, other = {"prompt": "a" * BLOCK + "c" * BLOCK}, {"prompt": "b" * BLOCK + "c" * BLOCK}
    assert not set(prefix_of(one)) & set(prefix_of(other))


def test_tokens_are_read_as_text_is() -> None:
    tokens = list(range(3 * BLOCK))
    assert len(prefix_of({"prompt": tokens})) == 3
    assert prefix_of({"prompt": [tokens, [1]]}) == prefix_of({"prompt": tokens})


def test_instructions_and_input_of_a_response_count() -> None:
    assert shared({"instructions": LONG, "input": "a"}, {"instructions": LONG, "input": "b"}) >= len(LONG) // BLOCK
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": LONG}]}]}
    assert len(prefix_of(parts)) >= len(LONG) // BLOCK


@pytest.mark.parametrize("request_", [
    {}, {"prompt": None}, {"prompt": []}, {"prompt": [[]]}, {"prompt": [1, "a"]}, {"messages": 7},
    {"messages": [None, 1]}, {"messages": {"role": 5}}, {"prompt": "short"}, {"input": [[[[[[[[[["deep"]]]]]]]]]]},
])  # fmt: skip
def test_a_request_of_any_shape_has_some_prefix(request_: dict[str, Any]) -> None:
    assert prefix_of(request_) == ()


def test_a_long_prompt_costs_no_more_than_its_beginning() -> None:
    assert prefix_of({"prompt": LONG * 1000}) == prefix_of({"prompt": LONG * 100})


def test_a_prompt_that_no_engine_takes_has_numbers_all_the_same() -> None:
    assert prefix_of({"prompt": [1, {}] * BLOCK}) == ()
