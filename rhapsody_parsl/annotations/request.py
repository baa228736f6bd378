"""The request parameters a model service takes: vLLM's own names, known here without vLLM.

`tests/integration/test_vllm_parameters.py` holds this list against the installed vLLM.
Source: `vllm.SamplingParams`, `CompletionRequest`, `ChatCompletionRequest`, `EmbeddingCompletionRequest` and
`ScoreQueriesDocumentsRequest` of vLLM 0.32.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.wording import nearest

__all__ = ("ASK", "CHAT", "CONTENTS", "OTHER", "PARAMETERS", "POOLING", "SAMPLING", "Wanted", "check_wanted")

Wanted = Literal["text", "embed", "score"]
"""What a model is asked for."""

ASK = "ask"
"""The key that says it; it is ours, and no engine sees it."""

CONTENTS = ("prompt", "messages", "input", "queries")
"""One of these is in every request; the last two ask for an embedding, and for scores."""

SAMPLING = frozenset({
    "allowed_token_ids", "bad_words", "detokenize", "extra_args", "flat_logprobs", "frequency_penalty", "ignore_eos",
    "include_stop_str_in_output", "logit_bias", "logprob_token_ids", "logprobs", "max_tokens", "min_p", "min_tokens",
    "n", "presence_penalty", "prompt_logprobs", "repetition_detection", "repetition_penalty", "seed",
    "skip_special_tokens",
    "spaces_between_special_tokens", "stop", "stop_token_ids", "structured_outputs", "temperature",
    "thinking_token_budget", "top_k", "top_p", "watermarking",
})  # fmt: skip
"""Fields of `vllm.SamplingParams` a caller sets."""

CHAT = frozenset({
    "add_generation_prompt", "add_special_tokens", "chat_template", "chat_template_kwargs", "continue_final_message",
    "documents", "include_reasoning", "max_completion_tokens", "media_io_kwargs", "messages", "mm_processor_kwargs",
    "parallel_tool_calls", "reasoning_effort", "response_format", "return_prompt_text", "tool_choice", "tools",
    "top_logprobs",
})  # fmt: skip
"""Fields of a chat request beside the sampling ones."""

OTHER = frozenset({
    "cache_salt", "echo", "length_penalty", "model", "prompt", "return_token_ids", "return_tokens_as_token_ids",
    "session_id", "stream", "suffix", "truncate_prompt_tokens", "truncation_side", "use_beam_search", "user",
    "vllm_xargs",
})  # fmt: skip
"""Fields of a completion request beside the sampling ones."""

POOLING = frozenset({
    "dimensions", "documents", "input", "instruction", "max_tokens_per_doc", "max_tokens_per_query", "padding",
    "queries", "use_activation",
})  # fmt: skip
"""Fields of a request for embeddings or scores beside those."""

PARAMETERS = SAMPLING | CHAT | OTHER | POOLING
"""Every name of the engine's that is accepted beside `service`, `full` and `ask`, which are ours."""


def check_wanted(request: Mapping[str, Any]) -> None:
    """Check what a model is asked for.

    Args:
        request: The parameters that were given.

    Raises:
        InvalidTask: It is nothing that a model gives.
    """
    wanted, allowed = request.get(ASK, "text"), get_args(Wanted)
    if wanted not in allowed:
        raise InvalidTask(ASK, wanted, f"allowed are {', '.join(allowed)}", nearest(wanted, allowed))
