"""A block of the benchmarks: its models, executors with services in it, its pilot, and what of it was leased."""

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from parsl.providers import LocalProvider

from rhapsody_parsl import CommandService, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from testing.processes import processes_of
from testing.tiny_llama import write_tiny_llama
from testing.waiting import until

Record = dict[str, Any]
"""Of the executor's timeline: a lease."""
START_TIMEOUT = 600.0

ENGINE: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": 256 << 20, "max_model_len": 2048}
"""Engine arguments of every model here, behind apps and driven directly."""


def tiny(folder: str) -> str:
    """Return the folder of a tiny random model, written now."""
    return str(write_tiny_llama(Path(folder) / "tiny"))


def smollm2() -> str | None:
    """Return the folder of SmolLM2 where `make model` has put it, or None."""
    path = Path(runpy.run_path("examples/smollm2.py")["cached_model"]())
    return str(path) if path.is_dir() else None


def everything(folder: str, cores: int, more: Sequence[CommandService] = ()) -> RhapsodyExecutor:
    """Return an executor whose block has Dragon, MPI, services, and the tiny model on one of its declared cores."""
    service = VLLMService("tiny", model=tiny(folder), cores=1, engine_args=ENGINE)
    return RhapsodyExecutor(
        "block",
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[DragonRuntime(), MPIRuntime()],
        services=[service, *more],
        cores_per_node=cores,
    )


def serving(services: Sequence[VLLMService], cores: int | None = None) -> RhapsodyExecutor:
    """Return an executor with services."""
    local = LocalProvider(init_blocks=1, max_blocks=1)
    return RhapsodyExecutor(
        "block",
        provider=local,
        runtimes=[LocalRuntime()],
        services=services,
        cores_per_node=cores,
    )


def ready(executor: RhapsodyExecutor) -> None:
    """Wait until every replica of every service answers."""

    def all_ready() -> bool:
        (state,) = executor.snapshot()["blocks"]
        services = state["services"]  # none before the block's first report
        return bool(services) and all(service["ready"] == service["replicas"] for service in services)

    until(all_ready, START_TIMEOUT)


def pilot() -> psutil.Process:
    """Return the pilot of our one block."""
    return processes_of("rhapsody_parsl.pilot")[0]


def leased(records: Sequence[Record], start: float, end: float) -> float:
    """Return how many cores were leased between two times, on average."""
    lent = sum(len(r["cores"]) * max(0.0, min(r["end"], end) - max(r["start"], start)) for r in records)
    return float(lent) / (end - start)
