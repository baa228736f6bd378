"""Plain completions, on a shorter way to vLLM's engine than its own serving of completions.

That has another thread tokenize each prompt, and makes a response of which an app's value needs a text. What a request
means, how its prompt becomes tokens, and what is refused in which words is vLLM's own here too.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import uuid4

import msgspec
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.exceptions import GenerationError
from vllm.tokenizers.hf import ThreadSafeHFTokenizerMixin
from vllm.v1.engine.async_llm import AsyncLLM

from rhapsody_parsl.runtimes.vllm.response import has_many_prompts
from rhapsody_parsl.runtimes.vllm.short_prompts import ShortPrompts
from rhapsody_parsl.runtimes.vllm.usage import Usage

__all__ = ("PlainCompletions",)

_PLAIN = frozenset({
    "allowed_token_ids", "bad_words", "frequency_penalty", "ignore_eos", "include_stop_str_in_output", "logit_bias",
    "max_tokens", "min_p", "min_tokens", "model", "presence_penalty", "priority", "prompt", "repetition_penalty",
    "seed", "skip_special_tokens", "spaces_between_special_tokens", "stop", "stop_token_ids", "temperature", "top_k",
    "top_p", "user",
})  # fmt: skip
"""What a plain request may have: vLLM's serving does nothing of its own with these."""
_ANY = "-"
"""In place of a text, which vLLM only wants not to be empty."""
_SHORT = 1000
"""Characters that take no longer to tokenize than to hand to vLLM's thread for that: 0.16 ms."""


class PlainCompletions:
    """Answers plain requests.

    Args:
        engine: vLLM's.
        serving: vLLM's own serving of completions over it, which takes all others.
    """

    def __init__(self, engine: AsyncLLM, serving: Any) -> None:
        self._engine, self._serving, self._model = engine, serving, engine.model_config
        # Such a tokenizer lends each thread a copy. Others are for vLLM's thread alone.
        self._shared = isinstance(engine.renderer.tokenizer, ThreadSafeHFTokenizerMixin)
        self._short = ShortPrompts(engine.renderer)
        self._never = self._model.is_encoder_decoder or serving.request_logger is not None
        self._checked = lru_cache(maxsize=64)(self._check)

    def takes(self, request: Mapping[str, Any]) -> bool:
        """Whether a request is plain."""
        if self._never or not request.keys() <= _PLAIN:
            return False
        prompt, name, models = request.get("prompt"), request.get("model"), self._serving.models
        if name and (name in models.lora_requests or not models.is_base_model(name)):
            return False
        return isinstance(prompt, str) or (bool(prompt) and not has_many_prompts(request))

    async def answer(self, request: Mapping[str, Any]) -> tuple[str, Usage]:
        """Return the text and its tokens; who leaves has the request aborted.

        Raises:
            Exception: What vLLM's serving would raise.
        """
        prompt = request["prompt"]
        if isinstance(prompt, str) and prompt:
            alike = self._checked(msgspec.msgpack.encode({**request, "prompt": _ANY}))
        else:
            alike = _Alike(request, self._model, self._serving)
            prompt = alike.asked.prompt
        rendered = await self._rendered(prompt, alike.limits)
        parameters = alike.parameters(len(rendered["prompt_token_ids"]))
        name, priority = f"cmpl-{uuid4().hex}-0", alike.asked.priority
        generated = self._engine.generate(rendered, parameters, name, priority=priority)
        (whole,) = [output async for output in generated]
        (output,) = whole.outputs
        if output.finish_reason == "error":
            raise GenerationError("Internal server error")
        return output.text, (len(whole.prompt_token_ids), len(output.token_ids))

    def _check(self, request: bytes) -> "_Alike":
        return _Alike(msgspec.msgpack.decode(request), self._model, self._serving)

    async def _rendered(self, prompt: str | list[int], limits: Any) -> Any:
        """Return a prompt as the engine takes it: at once where that is no work for vLLM's thread."""
        renderer = self._engine.renderer
        if isinstance(prompt, list):
            (rendered,) = renderer.render_cmpl([{"prompt_token_ids": prompt}], limits)
        elif self._shared and len(prompt) <= _SHORT:
            rendered = await self._short.rendered(prompt, limits)
        else:
            (rendered,) = await renderer.render_cmpl_async([{"prompt": prompt}], limits)
        return rendered


class _Alike:
    """Requests that differ in their prompts alone, found right once for all: those of apps often are such.

    Args:
        request: One of them.
        model: Its configuration.
        serving: vLLM's own.

    Attributes:
        asked: The request, as vLLM has it.
        limits: Of a prompt.
    """

    def __init__(self, request: Mapping[str, Any], model: Any, serving: Any) -> None:
        self._most, self._defaults = serving.override_max_tokens, serving.default_sampling_params
        self._length = model.max_model_len
        self.asked = CompletionRequest(**request)
        self.limits = self.asked.build_tok_params(model)
        self._parameters: tuple[int, Any] = (-1, None)

    def parameters(self, length: int) -> Any:
        """Return the parameters for a prompt of so many tokens; the engine copies them for each request."""
        tokens = get_max_tokens(self._length, self.asked.max_tokens, length, self._defaults, self._most)
        if self._parameters[0] != tokens:
            self._parameters = tokens, self.asked.to_sampling_params(tokens, self._defaults)
        return self._parameters[1]
