"""What the benchmarks with a model have in common: the models, and Parsl loaded with one executor."""

import runpy
from pathlib import Path
from typing import Any

import parsl
from parsl import Config
from parsl.dataflow.dflow import DataFlowKernel

from rhapsody_parsl import RhapsodyExecutor
from testing.tiny_llama import write_tiny_llama
from testing.waiting import until

START_TIMEOUT = 600.0

ENGINE: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": 256 << 20, "max_model_len": 2048}
"""Engine arguments of every model here, behind apps and driven directly."""


def load(executor: RhapsodyExecutor, folder: str) -> DataFlowKernel:
    """Load Parsl with one executor, logging off; a context manager."""
    return parsl.load(
        Config(executors=[executor], strategy="none", usage_tracking=0, initialize_logging=False, run_dir=folder)
    )


def tiny(folder: str) -> str:
    """Return the folder of a tiny random model, written now."""
    return str(write_tiny_llama(Path(folder) / "tiny"))


def smollm2() -> str | None:
    """Return the folder of SmolLM2 where `make model` has put it, or None."""
    path = Path(runpy.run_path("examples/smollm2.py")["cached_model"]())
    return str(path) if path.is_dir() else None


def check(right: bool, what: str) -> None:
    """Stop when a result is wrong: then no number counts.

    Raises:
        ValueError: It is wrong.
    """
    if not right:
        raise ValueError(f"wrong result, so that no number counts: {what}")


def ready(executor: RhapsodyExecutor) -> None:
    """Wait until every replica of every service answers."""

    def all_ready() -> bool:
        (state,) = executor.snapshot()["blocks"]
        return all(service["ready"] == service["replicas"] for service in state["services"])

    until(all_ready, START_TIMEOUT)
