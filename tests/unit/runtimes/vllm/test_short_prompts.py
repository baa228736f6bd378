"""Short prompts that become tokens together, by a stand-in for vLLM's renderer that counts what it is asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rhapsody_parsl.runtimes.vllm.short_prompts import ShortPrompts


@dataclass(frozen=True)
class Limits:
    """How a prompt becomes tokens."""

    most: int

    def apply_pre_tokenization(self, tokenizer: Any, prompt: dict[str, Any]) -> dict[str, Any]:
        if "!" in prompt["prompt"]:
            raise ValueError(f"{prompt['prompt']}: no such word")
        return {"prompt": prompt["prompt"].lower()}

    def get_encode_kwargs(self) -> dict[str, Any]:
        return {"max_length": self.most}


class Renderer:
    """Has a letter for a token."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def tokenizer(self, texts: Sequence[str], max_length: int) -> dict[str, list[list[int]]]:
        self.calls.append(list(texts))
        return {"input_ids": [[*map(ord, text)][:max_length] for text in texts]}

    def render_cmpl(self, prompts: Sequence[dict[str, Any]], limits: Limits) -> list[dict[str, Any]]:
        (prompt,) = prompts
        if "prompt_token_ids" in prompt:
            return [prompt]
        text = limits.apply_pre_tokenization(None, prompt)["prompt"]
        return [{"prompt": text, "prompt_token_ids": self.tokenizer([text], limits.most)["input_ids"][0]}]


def rendered(renderer: Renderer, *asked: tuple[str, int]) -> list[Any]:
    """Return what comes of prompts that are asked in one turn of the loop."""

    async def ask() -> list[Any]:
        short = ShortPrompts(renderer)
        futures = [short.rendered(prompt, Limits(most)) for prompt, most in asked]
        return await asyncio.gather(*futures, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(ask(), 10.0))


def test_prompts_of_one_turn_and_of_equal_limits_are_one_call_of_the_tokenizer() -> None:
    renderer = Renderer()
    found = rendered(renderer, ("AB", 9), ("cd", 1), ("e", 9), ("FG", 1), ("h", 3))
    assert [one["prompt_token_ids"] for one in found] == [[97, 98], [99], [101], [102], [104]]
    assert renderer.calls == [["ab", "e"], ["cd", "fg"], ["h"]]


def test_one_that_is_refused_fails_alone() -> None:
    found = rendered(Renderer(), ("a", 9), ("b!", 9), ("c", 9))
    assert [one["prompt_token_ids"] for one in found[::2]] == [[97], [99]]
    assert (type(found[1]), str(found[1])) == (ValueError, "b!: no such word")


class Panic(BaseException):
    """What a tokenizer in Rust ends with, beside its errors."""


def test_one_that_has_the_tokenizer_panic_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(self: Renderer, texts: Sequence[str], max_length: int) -> dict[str, list[list[int]]]:
        if "b" in texts:
            raise Panic
        return {"input_ids": [[*map(ord, text)][:max_length] for text in texts]}

    monkeypatch.setattr(Renderer, "tokenizer", panics)
    found = rendered(Renderer(), ("a", 9), ("b", 9), ("c", 9), ("d", 1))
    assert [one["prompt_token_ids"] for one in (found[0], *found[2:])] == [[97], [99], [100]]
    assert type(found[1]) is Panic


def test_one_that_is_not_wanted_any_more_is_left_out_and_later_ones_come_in_their_turn() -> None:
    renderer = Renderer()

    async def ask() -> None:
        short = ShortPrompts(renderer)
        first, second, third = (short.rendered(prompt, Limits(9)) for prompt in "abc")
        second.cancel()
        await first
        assert third.done()
        await short.rendered("d", Limits(9))

    asyncio.run(ask())
    assert renderer.calls == [["a", "c"], ["d"]]
