"""What the block holds: nodes, our share of their cores, memory and GPUs, or what the user declares instead."""

import os
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.spec.config import BlockConfig

__all__ = ("InventoryUnknown", "find_nodes", "our_cores", "our_gpus", "our_memory")


class InventoryUnknown(RhapsodyError):  # noqa: N818 - named for what happened
    """The batch system does not say what the block holds."""


GB = 1e9
_VISIBLE = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "intel": ("ZE_AFFINITY_MASK",),
}
_INTEL_COMPUTE_CLASS = "0x038000"  # a display controller without a display: data-centre GPUs, not integrated graphics


def find_nodes(config: BlockConfig, environment: Mapping[str, str] | None = None) -> list[Node]:
    """Return the block's nodes, the one we stand on first.

    Declared values of the config win. A declared number of nodes are all this host; declared core `i` stands on real
    core `i` modulo what is there. Nodes of a batch job are taken to be like this one.

    Args:
        config: The block's.
        environment: Where the batch system's variables are; default `os.environ`.
    """
    environment = os.environ if environment is None else environment
    here = socket.gethostname()
    real = our_cores()
    vendor, gpus = our_gpus(environment)
    if config.gpus_per_node >= 0:
        gpus = gpus[: config.gpus_per_node] + [str(n) for n in range(len(gpus), config.gpus_per_node)]
    cores = range(config.cores_per_node or len(real))
    names = _declared(config.nodes, here) if config.nodes else _host_names(environment, here)
    return [
        Node(
            name=name,
            host=here if config.nodes else name,
            cores=tuple(cores),
            real_cores=tuple(real[core % len(real)] for core in cores),
            gpus=tuple(gpus),
            gpu_vendor=vendor or ("nvidia" if gpus else ""),
            memory=round(config.memory_per_node or our_memory(), 3),
        )
        for name in names
    ]


def _declared(count: int, here: str) -> list[str]:
    return [here] if count == 1 else [f"{here}#{number}" for number in range(count)]


def _host_names(environment: Mapping[str, str], here: str) -> list[str]:
    if node_list := environment.get("SLURM_JOB_NODELIST"):
        names = _slurm_names(node_list)
    elif file := environment.get("PBS_NODEFILE") or environment.get("RHAPSODY_HOSTFILE"):
        names = [line.split()[0] for line in Path(file).read_text().splitlines() if line.strip()]
    else:
        names = []
    return _here_first(list(dict.fromkeys(names)), here)


def _slurm_names(node_list: str) -> list[str]:
    try:
        command = ["scontrol", "show", "hostnames", node_list]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as problem:
        said = getattr(problem, "stderr", "") or str(problem)
        raise InventoryUnknown(
            f"Slurm's node list {node_list} could not be read with scontrol: {said.strip()}"
        ) from None


def _here_first(names: list[str], here: str) -> list[str]:
    """Call this host by the batch system's name for it, and put it first; a job script may run elsewhere than we do."""
    ours = [name for name in names if name.partition(".")[0] == here.partition(".")[0]]
    return [*ours, *(name for name in names if name not in ours)] if ours else [here]


def our_cores() -> Sequence[int]:
    """Return the ids of the cores this process may use: its affinity mask, cut to the cgroup's CPU quota."""
    cores = sorted(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else cores[: max(1, int(quota) // int(period))]


def our_memory() -> float:
    """Return the GB this process may use: the machine's, or the cgroup's limit when that is less."""
    total = psutil.virtual_memory().total
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return float(total if limit == "max" else min(total, int(limit))) / GB


def our_gpus(environment: Mapping[str, str], root: Path = Path("/")) -> tuple[str, list[str]]:
    """Return vendor and ids of the GPUs we may use: what the batch system made visible, else what the kernel shows.

    Args:
        environment: Where the vendors' variables are.
        root: Where `proc` and `sys` are.
    """
    for vendor, variables in _VISIBLE.items():
        for variable in variables:
            if variable in environment:
                return vendor, [
                    item for item in re.split(r"[,\s]+", environment[variable]) if item not in ("", "-1", "NoDevFiles")
                ]
    counts = {"nvidia": _nvidia(root), "amd": _amd(root), "intel": _intel(root)}
    for vendor, count in counts.items():
        if count:
            return vendor, [str(number) for number in range(count)]
    return "", []


def _nvidia(root: Path) -> int:
    return len(list((root / "proc/driver/nvidia/gpus").glob("*")))


def _amd(root: Path) -> int:
    ids = (root / "sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id")
    return sum(_read(path) not in ("", "0") for path in ids)


def _intel(root: Path) -> int:
    devices = (root / "sys/bus/pci/devices").glob("*")
    return sum(_read(d / "vendor") == "0x8086" and _read(d / "class") == _INTEL_COMPUTE_CLASS for d in devices)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
