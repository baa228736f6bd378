"""A logits processor for vLLM that harms the engine at a request's word: `extra_args={"poison": HOW}`."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor

__all__ = ("Poison",)

HARMS: dict[str, Callable[[], Any]] = {
    "exit": lambda: os._exit(11),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: time.sleep(3600),
}


class Poison(LogitsProcessor):  # type: ignore[misc]  # vLLM is not read by mypy
    """Does nothing, until a request comes that says what to do; an unknown word has the engine's own loop fail."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        pass

    def is_argmax_invariant(self) -> bool:
        """Change nothing."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Look at the requests that join the batch."""
        for _, parameters, *_ in batch_update.added if batch_update else ():
            if how := (parameters.extra_args or {}).get("poison"):
                HARMS[how]()

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Change nothing."""
        return logits
