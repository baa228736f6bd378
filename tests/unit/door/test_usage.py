import json
from typing import Any

import pytest

from rhapsody_parsl.door.usage import Tokens

CHAT = {"prompt_tokens": 7, "total_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": None}
RESPONSES = {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3, "total_tokens": 10}


def counted(*pieces: bytes) -> tuple[int, int, bool]:
    tokens = Tokens()
    for piece in pieces:
        tokens.take(piece)
    return tokens.counts()


def event(content: Any) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


@pytest.mark.parametrize("usage", [CHAT, RESPONSES])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_what_the_engine_says_counts(usage: dict[str, Any], separators: tuple[str, str]) -> None:
    answer = {"choices": [{"text": "x" * 5000}], "usage": usage, "service_tier": None}
    assert counted(json.dumps(answer, separators=separators).encode()) == (7, 3, False)


def test_embeddings_have_no_tokens_of_an_answer() -> None:
    answer = {"data": [[0.5] * 5000], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    assert counted(json.dumps(answer).encode()) == (7, 0, False)


def test_of_a_stream_the_pieces_are_counted_unless_its_end_tells() -> None:
    pieces = [event({"choices": [{"text": "x"}], "usage": None}) for _ in range(4)]
    end = b"data: [DONE]\n\n"
    assert counted(*pieces, end) == (0, 4, True)
    assert counted(b"".join(pieces) + end) == (0, 4, True)
    last = event({"choices": [], "usage": CHAT})
    assert counted(*pieces, last[:20], last[20:] + end) == (7, 3, False), "also when a piece cuts it"


def test_what_a_model_says_of_usage_is_no_count() -> None:
    said = json.dumps({"choices": [{"text": '"usage": {"prompt_tokens": 99, "completion_tokens": 98}'}]})
    assert counted(said.encode()) == (0, 0, False)


@pytest.mark.parametrize("answer", [b"", b"\xff\xfe", b'"usage":', b'{"usage": {"prompt_tokens": ' + b"9" * 40 + b"}}"])
def test_what_is_no_answer_has_no_tokens(answer: bytes) -> None:
    assert counted(answer) == (0, 0, False)
