"""What a host offers us, asked on the host itself: our share of its cores and memory, its GPUs, what is near what.

Standard library only: it also runs on other hosts, in a node agent, which is to load little.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rhapsody_parsl.cluster import names

__all__ = ("HostFacts", "devices", "facts", "our_cores", "our_gpus", "our_memory", "read_list", "read_text")

GB = 1e9
_ROOT = Path("/")
_VISIBLE = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "intel": ("ZE_AFFINITY_MASK",),
}
_AS_MUCH = 0.95
"""Part of the memory: kernels keep more or less of it for themselves."""
_INTEL_COMPUTE_CLASS = "0x038000"  # a display controller without a display: data-centre GPUs, not integrated graphics


class HostFacts(NamedTuple):
    """What a host offers us; it travels as a list, in this order.

    Attributes:
        address: What other hosts call it in the network.
        cores: Ids of our cores.
        memory: GB.
        vendor: Of the GPUs: `nvidia`, `amd`, `intel` or "".
        gpus: Ids, as the vendor's variable takes them.
        domains: Our cores of each NUMA domain.
        near: For each GPU our cores near it; empty where the kernel does not say.
    """

    address: str
    cores: list[int]
    memory: float
    vendor: str
    gpus: list[str]
    domains: list[list[int]]
    near: list[list[int]]

    def lacking(self, counted_on: "HostFacts") -> str:
        """Return, for people, what is not there of what was counted on; "" when all is.

        Args:
            counted_on: What the block has taken this host to offer.
        """
        cores, gpus = set(counted_on.cores) - set(self.cores), set(counted_on.gpus) - set(self.gpus)
        missing = [f"no core {', '.join(map(str, sorted(cores)))}"] if cores else []
        missing += [f"no GPU {', '.join(sorted(gpus))}"] if gpus else []
        if self.memory < _AS_MUCH * counted_on.memory:
            missing.append(f"{self.memory:.1f} GB of memory")
        return f"{', '.join(missing)}, and was to be like {counted_on.address}" if missing else ""


def facts(environment: Mapping[str, str]) -> HostFacts:
    """Return this host's facts.

    Args:
        environment: Where the vendors' variables are.
    """
    cores = our_cores()
    vendor, gpus = our_gpus(environment)
    return HostFacts(
        address=names.own_address(),
        cores=list(cores),
        memory=our_memory(),
        vendor=vendor,
        gpus=gpus,
        domains=our_domains(cores),
        near=[near_gpu(vendor, gpu, cores) for gpu in gpus],
    )


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
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return float(total if limit == "max" else min(total, int(limit))) / GB


def our_domains(cores: Sequence[int], root: Path = _ROOT) -> list[list[int]]:
    """Return our cores of each NUMA domain that has any, in the kernel's order; all in one where it does not say."""
    nodes = (root / "sys/devices/system/node").glob("node[0-9]*")
    lists = [read_list(read_text(node / "cpulist")) for node in sorted(nodes, key=lambda node: int(node.name[4:]))]
    ours = [sorted(set(listed) & set(cores)) for listed in lists]
    return [domain for domain in ours if domain] or [list(cores)]


def our_gpus(environment: Mapping[str, str], root: Path = _ROOT) -> tuple[str, list[str]]:
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
    for vendor in _VISIBLE:
        if found := devices(vendor, root):
            return vendor, [str(number) for number in range(len(found))]
    return "", []


def near_gpu(vendor: str, gpu: str, cores: Sequence[int], root: Path = _ROOT) -> list[int]:
    """Return those of our cores that the kernel calls local to a GPU; [] when it does not say, or not which it is."""
    number = gpu.partition(".")[0]
    for position, device in enumerate(devices(vendor, root)):
        if number == str(position) or (number.startswith("GPU-") and _uuid(device, root).startswith(number)):
            return sorted(set(read_list(read_text(device / "local_cpulist"))) & set(cores))
    return []


def read_list(text: str) -> list[int]:
    """Return the numbers of a list as the kernel writes it: `0-3,8`."""
    found: list[int] = []
    for part in text.replace(",", " ").split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def devices(vendor: str, root: Path) -> list[Path]:
    """Return the PCI devices of a vendor's GPUs, in the order in which its software numbers them by default."""
    pci = root / "sys/bus/pci/devices"
    if vendor == "nvidia":
        return [pci / folder.name for folder in sorted((root / "proc/driver/nvidia/gpus").glob("*"))]
    if vendor == "amd":
        return _amd(root, pci)
    return [
        d
        for d in sorted(pci.glob("*"))
        if (read_text(d / "vendor"), read_text(d / "class")) == ("0x8086", _INTEL_COMPUTE_CLASS)
    ]


def _uuid(device: Path, root: Path) -> str:
    """Return the name that an Nvidia GPU has beside its number."""
    lines = read_text(root / "proc/driver/nvidia/gpus" / device.name / "information").splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("GPU UUID:")), "")


def _amd(root: Path, pci: Path) -> list[Path]:
    nodes = [path.parent for path in (root / "sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id")]
    gpus = [node for node in nodes if read_text(node / "gpu_id") not in ("", "0")]
    return [pci / _pci_name(read_text(node / "properties")) for node in sorted(gpus, key=lambda node: int(node.name))]


def _pci_name(properties: str) -> str:
    """Return the PCI name from what KFD says of a GPU: `location_id` is bus, device and function in one number."""
    values = dict(line.split(maxsplit=1) for line in properties.splitlines() if " " in line)
    place, domain = int(values.get("location_id", 0)), int(values.get("domain", 0))
    return f"{domain:04x}:{place >> 8:02x}:{place >> 3 & 31:02x}.{place & 7:x}"


def read_text(path: Path) -> str:
    """Return what a small file says; "" where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
