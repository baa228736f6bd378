"""The variables by which a process sees the GPUs of its lease, and no others."""

from collections.abc import Sequence

from rhapsody_parsl.in_block.context import Node

__all__ = ("GPU_VARIABLE", "shown_gpus")

GPU_VARIABLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES", "intel": "ZE_AFFINITY_MASK"}


def shown_gpus(node: Node, gpus: Sequence[int]) -> dict[str, str]:
    """Return the variables that show a process these GPUs of a node and no others; {} on nodes without GPUs."""
    if not node.gpus:
        return {}
    return {GPU_VARIABLE[node.gpu_vendor or "nvidia"]: ",".join(node.gpus[index] for index in gpus)}
