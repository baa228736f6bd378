"""How much a host works, from files like the kernel's and a program like `nvidia-smi`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.hosts.use import HostUse, HostWatch, every
from testing import leaks
from testing.processes import below

SMI = """#!/bin/sh
echo "0, GPU-aaa1, 40, 1024"
echo "1, GPU-bbb2, [N/A], [N/A]"
echo "2, GPU-ccc3, 100, 81559"
{then}
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


def counters(root: Path, *cores: tuple[int, int]) -> None:
    """The kernel's counters: of each core the ticks that it worked, and those that it did not."""
    lines = [f"cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0" for number, (busy, idle) in enumerate(cores)]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, "intr 5 4 3", "ctxt 1"]))
    (root / "proc/meminfo").write_text("MemTotal: 64000000 kB\nMemFree: 1 kB\nMemAvailable: 54234375 kB\n")


def watched(root: Path, act: Callable[[HostWatch], Awaitable[None]], vendor: str = "", gpus: str = "") -> None:
    async def run() -> None:
        watch = HostWatch(vendor, gpus.split(), 1.0, root)
        try:
            await act(watch)
        finally:
            watch.close()
            watch.close()

    asyncio.run(run())


def test_cores_work_as_much_as_their_counters_say(tmp_path: Path) -> None:
    counters(tmp_path, (100, 100), (0, 500), (7, 7))

    async def story(watch: HostWatch) -> None:
        counters(tmp_path, (190, 110), (50, 550), (7, 7))
        watch.look()
        assert watch.use([0, 1], []) == HostUse(0.7, 10.0, ()), "nine tenths of one, half of the other"
        assert watch.use([0], []).cpu == 0.9
        assert watch.use([0, 0, 2, 2], []).cpu == 0.45, "declared cores on the same real one; the other has no ticks"
        watch.look()
        assert watch.use([0], []).cpu == 0.9, "nothing was counted since"

    watched(tmp_path, story)


def test_where_the_kernel_says_nothing_nothing_is_told(tmp_path: Path) -> None:
    async def story(watch: HostWatch) -> None:
        watch.look()
        assert watch.use([0, 1], ["0"]) == HostUse()

    watched(tmp_path, story, vendor="intel", gpus="0")


def test_gpus_of_amd_are_read_of_the_kernel(tmp_path: Path) -> None:
    for number, busy in enumerate((35, 80)):
        node = tmp_path / f"sys/class/kfd/kfd/topology/nodes/{number + 1}"
        node.mkdir(parents=True)
        (node / "gpu_id").write_text("123\n")
        (node / "properties").write_text(f"location_id {number + 1 << 8}\ndomain 0\n")
        device = tmp_path / f"sys/bus/pci/devices/0000:{number + 1:02x}:00.0"
        device.mkdir(parents=True)
        (device / "gpu_busy_percent").write_text(f"{busy}\n")
        (device / "mem_info_vram_used").write_text("2000000000\n")

    async def story(watch: HostWatch) -> None:
        assert watch.use([], ["1", "0"]).gpus == ((0.8, 2.0), (0.35, 2.0))
        assert watch.use([], ["0", "7"]).gpus == (), "of one nobody says it"

    watched(tmp_path, story, vendor="amd", gpus="0 1")


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(SMI.format(then=then))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def until_told(watch: HostWatch, gpu: str) -> None:
    async with asyncio.timeout(20):
        while not watch.use([], [gpu]).gpus:
            await asyncio.sleep(0.01)


def test_gpus_of_nvidia_are_told_by_one_program_by_number_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, "exec sleep 100")

    async def story(watch: HostWatch) -> None:
        await until_told(watch, "2")
        assert watch.use([], ["0", "2"]).gpus == ((0.4, 1.1), (1.0, 85.5))
        assert watch.use([], ["GPU-ccc3", "GPU-aa"]).gpus == ((1.0, 85.5), (0.4, 1.1))
        assert watch.use([], ["1"]).gpus == (), "the driver does not say"
        assert len(below("sleep")) == 1

    watched(tmp_path, story, vendor="nvidia", gpus="0 1 2")
    assert not below("sleep")


def test_a_program_that_ends_or_babbles_is_heard_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for then in ("exit 9", "head -c 300000 /dev/zero; exec sleep 100"):
        smi(tmp_path, monkeypatch, then)

        async def story(watch: HostWatch) -> None:
            async with asyncio.timeout(20):
                while watch._gpus._process:  # type: ignore[union-attr]  # of Nvidia's
                    await asyncio.sleep(0.01)
            assert watch.use([], ["2"]).gpus == (), "what was last seen is not how it is"

        watched(tmp_path, story, vendor="nvidia", gpus="0")


def test_large_blocks_are_looked_at_less_often() -> None:
    assert [every(hosts) for hosts in (0, 10, 200, 500, 1000, 5000)] == [2.0, 2.0, 2.0, 5.0, 10.0, 10.0]
