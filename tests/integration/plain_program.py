"""A program that puts requests to a real engine on both ways: plain, and by vLLM's own serving of completions.

It writes what came of each as JSON: which way a request took, and its value and tokens, or its error.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from testing.tiny_llama import write_tiny_llama

CONTEXT = 1536
ENGINE = {
    "kv_cache_memory_bytes": 64 << 20, "max_model_len": CONTEXT, "scheduling_policy": "priority",
    "enable_prefix_caching": False,
}  # fmt: skip
GREEDY: dict[str, Any] = {"prompt": "hello", "temperature": 0, "max_tokens": 32, "ignore_eos": True}
PLAIN: dict[str, dict[str, Any]] = {
    "greedy": GREEDY,
    "one token": {**GREEDY, "max_tokens": 1},
    "vLLM's own length": {"prompt": "hello", "seed": 1},
    "little room": {**GREEDY, "prompt": "x" * 999, "max_tokens": 600},
    "much room": {**GREEDY, "max_tokens": 600},
    "no length": {"prompt": "hello", "max_tokens": None, "seed": 2, "ignore_eos": True},
    "no token": {**GREEDY, "max_tokens": 0},
    "too many tokens": {**GREEDY, "max_tokens": CONTEXT + 1},
    "least tokens": {"prompt": "hello", "seed": 3, "min_tokens": 12, "max_tokens": 24},
    "more least than most": {**GREEDY, "min_tokens": 33},
    "seeded": {"prompt": "hello", "temperature": 1, "seed": 7, "top_p": 0.9, "top_k": 40, "min_p": 0.01},
    "seeded again": {"prompt": "you", "temperature": 1, "seed": 7, "top_p": 0.9, "top_k": 40, "min_p": 0.01},
    "penalties": {**GREEDY, "presence_penalty": 1, "frequency_penalty": 1, "repetition_penalty": 1.2},
    "bias": {**GREEDY, "logit_bias": {"70": 50}, "max_tokens": 8},
    "allowed": {**GREEDY, "allowed_token_ids": [70, 71, 72]},
    "bad words": {**GREEDY, "bad_words": ["a", "b", "c"]},
    "special tokens": {**GREEDY, "skip_special_tokens": False, "spaces_between_special_tokens": False},
    "stop token": {**GREEDY, "allowed_token_ids": [70], "stop_token_ids": [70]},
    "priority": {**GREEDY, "priority": -3, "user": "me"},
    "by name": {**GREEDY, "model": "tiny"},
    "empty": {**GREEDY, "prompt": ""},
    "beyond ASCII": {**GREEDY, "prompt": "h\u00e9llo \u4f60\u597d \U0001f600"},
    "long": {**GREEDY, "prompt": "x" * 1001},
    "too long": {**GREEDY, "prompt": "x" * 2 * CONTEXT},
    "full": {**GREEDY, "prompt": "x" * (CONTEXT - 1)},
    "tokens": {**GREEDY, "prompt": [5, 6, 7]},
    "too many of them": {**GREEDY, "prompt": [5] * (CONTEXT + 1)},
    "unknown token": {**GREEDY, "prompt": [5, 1 << 20]},
    "negative token": {**GREEDY, "prompt": [5, -1]},
    "no tokens at all": {**GREEDY, "prompt": [5, "x"]},
    "cold": {**GREEDY, "temperature": -1},
    "hot": {**GREEDY, "temperature": "hot"},
    "odd stop": {**GREEDY, "stop": 7},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "echo": {**GREEDY, "echo": True},
    "choice": {**GREEDY, "structured_outputs": {"choice": ["yes", "no"]}},
    "another model": {**GREEDY, "model": "other"},
    "unknown name": {**GREEDY, "nope": 1},
    "no prompt": {"prompt": [], "max_tokens": 1},
    "detokenize": {**GREEDY, "detokenize": False},
    "cut": {**GREEDY, "truncate_prompt_tokens": 2},
    "messages": {"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 8},
}


async def outcome(engine: Any, request: dict[str, Any], full: bool) -> Any:
    """Return a value and its tokens, or the error."""
    from rhapsody_parsl.runtimes.vllm.request_server import RequestError
    from rhapsody_parsl.runtimes.vllm.response import choice_text
    from rhapsody_parsl.runtimes.vllm.usage import take_usage

    try:
        value = await engine.answer(dict(request), full)
    except RequestError as problem:
        return str(problem)
    usage = take_usage()
    return [choice_text(value["choices"][0]) if full else value, usage.prompt, usage.tokens]


async def compare(engine: Any, requests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return for each request whether vLLM's serving had it, and what came of both ways."""
    had: list[Any] = []
    _noted(engine._completion, "create_completion", had)
    _noted(engine._chat, "create_chat_completion", had)
    found = {}
    for name, request in requests.items():
        had.clear()
        ours = await asyncio.create_task(outcome(engine, request, full=False))
        found[name] = [bool(had), ours, await asyncio.create_task(outcome(engine, request, full=True))]
    return found


def _noted(serving: Any, name: str, had: list[Any]) -> None:
    """Have a method of vLLM's note what it is asked."""
    serve = getattr(serving, name)

    def noting(request: Any) -> Any:
        had.append(request)
        return serve(request)

    setattr(serving, name, noting)


async def together(engine: Any, requests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what comes of each when all are asked in one turn of the loop, so that short prompts are read together."""
    asked = [asyncio.create_task(outcome(engine, request, full=False)) for request in requests.values()]
    return dict(zip(requests, await asyncio.gather(*asked), strict=True))


async def cancelled(engine: Any) -> dict[str, Any]:
    """Return how many requests vLLM has while one is under way, and after that was cancelled."""
    count = engine._engine.get_num_unfinished_requests
    request = asyncio.create_task(engine.answer({**GREEDY, "max_tokens": CONTEXT - 8}, full=False))
    while not count():
        await asyncio.sleep(0)
    during = count()
    request.cancel()
    await asyncio.wait({request})
    return {"during": during, "after": count(), "cancelled": request.cancelled()}


async def main(folder: Path) -> None:
    """Open the engine, and ask it."""
    from rhapsody_parsl import VLLMService
    from rhapsody_parsl.runtimes.vllm.engine import Engine
    from rhapsody_parsl.runtimes.vllm.settings import EngineSettings

    model = str(write_tiny_llama(folder / "tiny"))
    service = VLLMService("tiny", model=model, cores=1, engine_args=ENGINE)
    settings = EngineSettings(
        name="tiny", endpoint="", peer="", host="127.0.0.1", public_host="127.0.0.1", port=0, secret="",
        service=service, model=model,
    )  # fmt: skip
    engine = await Engine.open(settings, 0, print)
    (text, *_) = await outcome(engine, GREEDY, full=True)
    stops = {
        f"stop {kept}": {**GREEDY, "stop": [text[9:11], "never"], "include_stop_str_in_output": kept} for kept in (0, 1)
    }
    found = {
        "plain": await compare(engine, PLAIN | stops), "others": await compare(engine, OTHERS),
        "cancel": await cancelled(engine), "text": text, "together": await together(engine, PLAIN | stops),
    }  # fmt: skip
    (folder / "found.json").write_text(json.dumps(found))
    engine._engine.shutdown()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    os._exit(0)  # vLLM's own finalizer stumbles at an interpreter's end
