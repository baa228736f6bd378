"""The list of request parameters, which is known without vLLM, against the installed one."""

import importlib.util
from typing import Any

import pytest

from rhapsody_parsl.annotations.request import CHAT, OTHER, PARAMETERS, POOLING, SAMPLING

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # vLLM's own, on import
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

OURS = {"stream_options", "stream_interval", "request_id", "priority"}
"""Set by us, or by our own keys."""
INSIDE = {
    "output_kind", "output_text_buffer_length", "prompt_logprob_start", "prompt_logprob_token_ids", "skip_clone",
    "routed_experts_prompt_start", "skip_reading_prefix_cache", "trace_decode_token_ids",
}  # fmt: skip
"""Between vLLM's own parts."""
NOT_TEXT = {
    "ec_transfer_params", "kv_transfer_params", "mm_payload", "prompt_embeds", "return_mm_kwargs",
    "return_token_offsets",
}  # fmt: skip
"""For servers that split a request among them, render only, or take tensors."""


def fields_of(kind: Any) -> set[str]:
    names = getattr(kind, "__struct_fields__", None) or kind.model_fields
    return {name for name in names if not name.startswith("_")}


@pytest.fixture(scope="module")
def vllm_fields() -> tuple[set[str], set[str], set[str]]:
    from vllm import SamplingParams
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    return fields_of(SamplingParams), fields_of(CompletionRequest), fields_of(ChatCompletionRequest)


def test_every_name_we_take_is_one_of_vllms(vllm_fields: tuple[set[str], set[str], set[str]]) -> None:
    sampling, completion, chat = vllm_fields
    assert sampling >= SAMPLING
    assert chat >= CHAT
    assert completion >= OTHER - {"echo", "length_penalty"} - chat
    assert sampling | completion | chat | pooling_fields() >= PARAMETERS


def pooling_fields() -> set[str]:
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingCompletionRequest
    from vllm.entrypoints.pooling.scoring.protocol import ScoreQueriesDocumentsRequest

    return fields_of(EmbeddingCompletionRequest) | fields_of(ScoreQueriesDocumentsRequest)


def test_every_name_of_a_pooling_request_is_taken_or_left_out_on_purpose() -> None:
    assert pooling_fields() >= POOLING
    assert pooling_fields() - PARAMETERS - OURS == {"encoding_format", "embed_dtype", "endianness"}, "floats, always"


def test_every_name_of_vllms_is_taken_or_left_out_on_purpose(vllm_fields: tuple[set[str], set[str], set[str]]) -> None:
    sampling, completion, chat = vllm_fields
    assert sampling - SAMPLING - INSIDE - OURS == set()
    assert (completion | chat) - PARAMETERS - INSIDE - OURS - NOT_TEXT == set()


def test_the_engines_own_parameters_reach_it() -> None:
    from rhapsody_parsl.runtimes.vllm.engine import Chat, Completion

    for kind, what in ((Completion, {"prompt": "a"}), (Chat, {"messages": [{"role": "user", "content": "a"}]})):
        request = kind(**what, detokenize=False, extra_args={"a": 1}, flat_logprobs=True, seed=7)
        params = request.to_sampling_params(5, {})
        assert (params.detokenize, params.flat_logprobs, params.seed, params.max_tokens) == (False, True, 7, 5)
        assert params.extra_args == {"a": 1}
