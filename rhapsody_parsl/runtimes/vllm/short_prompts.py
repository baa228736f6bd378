"""Short prompts become tokens together: a call of the tokenizer costs more than what it does for one of them."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any

__all__ = ("ShortPrompts",)


class ShortPrompts:
    """Renders the prompts of one turn of the loop in one go, as vLLM's own thread for that does.

    So they also reach the engine one right after the other, which makes fewer steps of it that take in only some.

    Args:
        renderer: vLLM's, with a tokenizer that may be used on any thread.
    """

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer
        self._waiting: dict[Hashable, list[tuple[str, asyncio.Future[Any]]]] = {}

    def rendered(self, prompt: str, limits: Any) -> "asyncio.Future[Any]":
        """Return a future of the prompt as the engine takes it, or of what vLLM raises about it.

        Args:
            prompt: A text.
            limits: vLLM's parameters of how it is tokenized; prompts with equal ones go together.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._render_all)
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.setdefault(limits, []).append((prompt, future))
        return future

    def _render_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for limits, some in waiting.items():
            wanted = [(prompt, future) for prompt, future in some if not future.done()]
            prompts = self._tokenized([prompt for prompt, _ in wanted], limits)
            for prompt, (_, future) in zip(prompts, wanted, strict=True):
                try:
                    (rendered,) = self._renderer.render_cmpl([prompt], limits)
                    future.set_result(rendered)
                except BaseException as problem:  # noqa: BLE001 - also a panic of Rust's: who asked is to have it
                    future.set_exception(problem)

    def _tokenized(self, prompts: Sequence[str], limits: Any) -> list[dict[str, Any]]:
        """Return several with their tokens; as they are where that cannot be, for then one of them is refused alone."""
        raw = [{"prompt": prompt} for prompt in prompts]
        if len(prompts) < 2:  # noqa: PLR2004 - one gains nothing
            return raw
        tokenizer = self._renderer.tokenizer
        try:
            texts = [limits.apply_pre_tokenization(tokenizer, dict(each))["prompt"] for each in raw]
            tokens = tokenizer(texts, **limits.get_encode_kwargs())["input_ids"]
        except BaseException:  # noqa: BLE001 - it comes again, with the one that is at fault
            return raw
        return [{"prompt": text, "prompt_token_ids": list(some)} for text, some in zip(texts, tokens, strict=True)]
