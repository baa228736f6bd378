"""What a host says of itself, read from a made-up /proc and /sys."""

import os
from pathlib import Path

import pytest

from rhapsody_parsl.hosts.probe import facts, near_gpu, our_domains, our_gpus, our_memory, read_list


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


def test_a_host_offers_its_affinity_mask() -> None:
    mask = os.sched_getaffinity(0)
    last = max(mask)
    os.sched_setaffinity(0, {last})
    try:
        found = facts({"CUDA_VISIBLE_DEVICES": "5,7"})
    finally:
        os.sched_setaffinity(0, mask)
    assert (found.cores, found.domains) == ([last], [[last]])
    assert (found.vendor, found.gpus, found.near) == ("nvidia", ["5", "7"], [[], []])
    assert 0 < found.memory < 100_000


@pytest.mark.parametrize(("environment", "vendor", "gpus"), [
    ({"CUDA_VISIBLE_DEVICES": "2,3"}, "nvidia", ["2", "3"]),
    ({"CUDA_VISIBLE_DEVICES": "GPU-1a2b, MIG-3c"}, "nvidia", ["GPU-1a2b", "MIG-3c"]),
    ({"CUDA_VISIBLE_DEVICES": ""}, "nvidia", []),
    ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "nvidia", []),
    ({"ROCR_VISIBLE_DEVICES": "0"}, "amd", ["0"]),
    ({"HIP_VISIBLE_DEVICES": "1"}, "amd", ["1"]),
    ({"ZE_AFFINITY_MASK": "0.0,0.1"}, "intel", ["0.0", "0.1"]),
    ({}, "", []),
])  # fmt: skip
def test_gpus_as_the_batch_system_shows_them(
    environment: dict[str, str], vendor: str, gpus: list[str], tmp_path: Path
) -> None:
    assert our_gpus(environment, tmp_path) == (vendor, gpus)


FILES = {
    "nvidia": ["proc/driver/nvidia/gpus/0000:01:00.0/information", "proc/driver/nvidia/gpus/0000:02:00.0/information"],
    "amd": ["sys/class/kfd/kfd/topology/nodes/1/gpu_id=4711", "sys/class/kfd/kfd/topology/nodes/2/gpu_id=4712",
            "sys/class/kfd/kfd/topology/nodes/0/gpu_id=0"],
    "intel": [f"sys/bus/pci/devices/{device}/{entry}" for device, pci in (
        ("a", "0x038000"), ("b", "0x038000"), ("integrated", "0x030000")) for entry in ("vendor=0x8086", f"class={pci}")
    ],
}  # fmt: skip


@pytest.mark.parametrize("vendor", FILES)
def test_gpus_as_the_kernel_shows_them(vendor: str, tmp_path: Path) -> None:
    put(tmp_path, {name: text for name, _, text in (entry.partition("=") for entry in FILES[vendor])})
    assert our_gpus({}, tmp_path) == (vendor, ["0", "1"])


def test_memory_is_what_the_machine_or_the_cgroup_has() -> None:
    assert 0 < our_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 * 1.01


def test_lists_as_the_kernel_writes_them() -> None:
    assert read_list("0-2,8\n") == [0, 1, 2, 8]
    assert read_list("") == []


def test_domains_are_those_of_our_cores(tmp_path: Path) -> None:
    nodes = "sys/devices/system/node"
    put(tmp_path, {f"{nodes}/node0/cpulist": "0-3", f"{nodes}/node1/cpulist": "4-7", f"{nodes}/node10/cpulist": "8-9"})
    assert our_domains([2, 3, 4, 8], tmp_path) == [[2, 3], [4], [8]]
    assert our_domains([2, 3], tmp_path) == [[2, 3]]
    assert our_domains([0, 1], tmp_path / "nothing") == [[0, 1]]


def test_cores_near_a_gpu(tmp_path: Path) -> None:
    pci = "sys/bus/pci/devices"
    put(tmp_path, {
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-9c-5d",
        "proc/driver/nvidia/gpus/0000:81:00.0/information": "Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-1a-2b",
        f"{pci}/0000:01:00.0/local_cpulist": "0-3", f"{pci}/0000:81:00.0/local_cpulist": "4-7",
        "sys/class/kfd/kfd/topology/nodes/1/gpu_id": "4711",
        "sys/class/kfd/kfd/topology/nodes/1/properties": "simd_count 1\nlocation_id 49664\ndomain 0",
        f"{pci}/0000:c2:00.0/local_cpulist": "6-7",
    })  # fmt: skip
    assert near_gpu("nvidia", "1", [3, 4, 5], tmp_path) == [4, 5]
    assert near_gpu("nvidia", "GPU-1a-2b", [3, 4, 5], tmp_path) == [4, 5]
    assert near_gpu("nvidia", "GPU-1a", [3, 4, 5], tmp_path) == [4, 5]
    assert near_gpu("nvidia", "GPU-7e", [3, 4, 5], tmp_path) == []
    assert near_gpu("nvidia", "MIG-1a", [3, 4, 5], tmp_path) == []
    assert near_gpu("nvidia", "2", [3, 4, 5], tmp_path) == []
    assert near_gpu("amd", "0", range(8), tmp_path) == [6, 7]
