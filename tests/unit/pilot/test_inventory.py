import os
import socket
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.pilot.inventory import InventoryUnknown, find_nodes, our_cores, our_gpus, our_memory
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.spec.config import BlockConfig

HERE = socket.gethostname()


def found(environment: dict[str, str] | None = None, **declared: Any) -> list[Node]:
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", **declared
    )
    return find_nodes(config, environment or {})


def test_a_lone_host_offers_its_affinity_mask() -> None:
    mask = os.sched_getaffinity(0)
    last = max(mask)
    os.sched_setaffinity(0, {last})
    try:
        (node,) = found()
    finally:
        os.sched_setaffinity(0, mask)
    assert (node.name, node.host, node.cores, node.real_cores) == (HERE, HERE, (0,), (last,))
    assert 0 < node.memory < 100_000


def test_declared_cores_stand_on_real_ones_in_turn() -> None:
    real = our_cores()
    (node,) = found(cores_per_node=len(real) + 2, memory_per_node=3.5, gpus_per_node=2)
    assert node.real_cores == (*real, *[*real, *real][:2])
    assert (node.memory, node.gpus, node.gpu_vendor) == (3.5, ("0", "1"), "nvidia")
    assert node.real([0, len(real)]) == (real[0],)


def test_declared_nodes_are_all_this_host() -> None:
    nodes = found(nodes=3, cores_per_node=2)
    assert [node.name for node in nodes] == [f"{HERE}#0", f"{HERE}#1", f"{HERE}#2"]
    assert {node.host for node in nodes} == {HERE}
    assert [node.name for node in found(nodes=1)] == [HERE]


def test_slurm_lists_the_nodes_and_we_stand_on_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\n[ "$*" = "show hostnames c[1-3]" ] && printf "c1\\n{HERE}.site\\nc3\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    nodes = found({"SLURM_JOB_NODELIST": "c[1-3]"})
    assert [node.name for node in nodes] == [f"{HERE}.site", "c1", "c3"]
    assert [node.host for node in nodes] == [node.name for node in nodes]


@pytest.mark.parametrize("variable", ["PBS_NODEFILE", "RHAPSODY_HOSTFILE"])
def test_a_host_file_may_name_a_host_for_each_core(tmp_path: Path, variable: str) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"a slots=2\na\n{HERE}\n\n{HERE}\nb\n")
    assert [node.name for node in found({variable: str(hosts)})] == [HERE, "a", "b"]


def test_a_list_without_us_is_not_ours(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("a\nb\n")
    assert [node.name for node in found({"PBS_NODEFILE": str(hosts)})] == [HERE]


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
    for entry in FILES[vendor]:
        name, _, text = entry.partition("=")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert our_gpus({}, tmp_path) == (vendor, ["0", "1"])


def test_memory_is_what_the_machine_or_the_cgroup_has() -> None:
    assert 0 < our_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 * 1.01


def test_a_slurm_list_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InventoryUnknown, match=r"c\[1-3\] could not be read with scontrol: .*No such file"):
        found({"SLURM_JOB_NODELIST": "c[1-3]"})
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho bad list >&2; exit 1\n")
    scontrol.chmod(0o755)
    with pytest.raises(InventoryUnknown, match="bad list"):
        found({"SLURM_JOB_NODELIST": "c[1-3]"})
