"""The variables of a replica's processes: their cores and GPUs, and what keeps them out of each other's way."""

import os
from collections.abc import Mapping
from pathlib import Path

from rhapsody_parsl.in_block.context import Context, Placed
from rhapsody_parsl.in_block.gpus import shown_gpus
from rhapsody_parsl.runtimes.vllm.adapters import adapter_environment
from rhapsody_parsl.service_config import VLLMService

__all__ = ("process_environment", "thread_groups")

_KEEP_ALIVE = "3600"
_SIZES = ("tensor", "pipeline", "prefill_context", "data")


def process_environment(
    service: VLLMService, part: Placed | None, context: Context, *, folder: Path, api_key: str
) -> Mapping[str, str | None]:
    """Return the variables of a replica's process on one node.

    Args:
        service: The service; its own variables win.
        part: The node's part of the replica's lease, None when it takes none.
        context: The block.
        folder: For temporary files and sockets.
        api_key: For its HTTP API.
    """
    node = part.node if part else context.nodes[context.head]
    cores = part.real_cores if part and part.share.cores else node.real(node.cores)
    env: dict[str, str | None] = {
        "VLLM_PLUGINS": "",  # Dragon registers some that break it
        "VLLM_RPC_BASE_PATH": str(folder),
        "TMPDIR": str(folder),
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": _KEEP_ALIVE,
        "VLLM_API_KEY": api_key,
    }
    if service.gpus:
        env |= shown_gpus(node, part.share.gpus) if part else {}
    else:
        groups = thread_groups(service, cores)
        threads = groups.partition("|")[0].count(",") + 1
        env |= {"VLLM_CPU_OMP_THREADS_BIND": groups, "OMP_NUM_THREADS": str(threads)}
        if service.parallel(*_SIZES) == 1 and not _preloads_openmp(service):
            # Else vLLM gives the one worker a process of its own, only to set the threads that we have set.
            env["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        if service.engine_args.get("enforce_eager", True):
            # Else tensor parallel layers still compile, for a minute of each start.
            env["TORCH_COMPILE_DISABLE"] = "1"
        if node.gpus:
            env |= dict.fromkeys(("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"), "")
    return env | adapter_environment(service) | service.env


def _preloads_openmp(service: VLLMService) -> bool:
    """Whether an OpenMP library is loaded before all others, as vLLM advises on Intel's CPUs: it then sets more."""
    return "omp" in service.env.get("LD_PRELOAD", os.environ.get("LD_PRELOAD", ""))


def thread_groups(service: VLLMService, cores: tuple[int, ...]) -> str:
    """Return the cores of each of the engine's workers on one node as vLLM writes them: `0,1|2,3`.

    vLLM counts groups by the worker's number on its own node. All share the cores when those are too few.
    """
    workers = max(1, service.parallel(*_SIZES) // service.nodes)
    each = len(cores) // workers
    groups = [cores[i * each : (i + 1) * each] for i in range(workers)] if each else [cores] * workers
    return "|".join(",".join(map(str, group)) for group in groups)
