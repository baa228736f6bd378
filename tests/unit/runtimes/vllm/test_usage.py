"""What a server says of its tokens, whatever it is."""

from typing import Any

import msgspec
import pytest

from rhapsody_parsl.runtimes.vllm.usage import usage_of


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ('{"usage": {"prompt_tokens": 7, "completion_tokens": 9}}', (3, 4)),
        ('{"usage": {"prompt_tokens": 7}}', (3, 0)),
        ('{"usage": {"prompt_tokens": 1e300, "completion_tokens": 9}}', (0, 0)),
        ('{"usage": {"prompt_tokens": 100000000000000000000000000000}}', (0, 0)),
        ('{"usage": {"prompt_tokens": -7}}', (0, 0)),
        ('{"usage": {"prompt_tokens": "many"}}', (0, 0)),
        ('{"usage": []}', (0, 0)),
        ('{"usage": "many"}', (0, 0)),
        ("{}", (0, 0)),
    ],
)
def test_what_is_no_count_counts_nothing(said: str, counted: tuple[int, int]) -> None:
    response: dict[str, Any] = msgspec.json.decode(said)
    assert usage_of(response, share=2) == counted


def test_what_is_infinite_counts_nothing() -> None:
    assert usage_of({"usage": {"prompt_tokens": float("inf")}}) == (0, 0)
