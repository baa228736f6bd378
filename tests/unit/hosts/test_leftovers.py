"""What the dead leave, beside what the living use."""

import mmap
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.hosts import leftovers

MAPPER = """
import mmap, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
view = mmap.mmap(descriptor, 0)
os.close(descriptor)
print(flush=True)
input()
"""

LOOKER = """
import sys
from rhapsody_parsl.hosts import leftovers
for _ in range(10_000):
    leftovers._unused(sys.argv[1])
"""


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for /dev/shm, where others' programs make and remove what they like."""
    monkeypatch.setattr(leftovers, "_MEMORY", str(tmp_path))
    return tmp_path


def make(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"1")
    return [folder / name for name in names]


@contextmanager
def user_of(path: Path, *words: str) -> Iterator[None]:
    """Another process that has a file mapped, and not open."""
    command = [*words, sys.executable, "-c", MAPPER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield
        finally:
            process.communicate(b"\n")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_engines_memory_goes_when_nobody_uses_it(memory: Path) -> None:
    make(
        memory, "DD0123inf0M", "DD0123inf0D", "DmypoolM", "DmypoolD", "mpich_shm_x", "sm_segment.h.0.1", "mine", "DataM"
    )
    living = make(memory, "DD0123def0M", "mpich_shm_living")
    with user_of(living[0]), user_of(living[1]):
        leftovers.sweep_memory()
        assert names(memory) == ["DD0123def0M", "DataM", "mine", "mpich_shm_living"]
    leftovers.sweep_memory()
    assert names(memory) == ["DataM", "mine"], "what may be a program's own, kept on purpose, stays"


def test_what_hydra_has_left_goes_too(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in `/tmp`, wherever TMPDIR is, when its proxies are killed."""
    assert leftovers._TOLD_BY_HYDRA.startswith("/tmp/")  # noqa: S108 - where Hydra puts it
    monkeypatch.setattr(leftovers, "_TOLD_BY_HYDRA", str(tmp_path / "hydra_hwloc_xmlfile_*"))
    _, read, _ = make(tmp_path, "hydra_hwloc_xmlfile_x1", "hydra_hwloc_xmlfile_x2", "hydra_notes")
    with read.open():
        leftovers.sweep_memory()
        assert names(tmp_path) == ["hydra_hwloc_xmlfile_x2", "hydra_notes"]


def test_who_opens_what_we_look_at_does_not_end_us(memory: Path) -> None:
    """The kernel tells who has a lease that somebody opens the file: by a signal that ends a process, unless asked."""
    (path,) = make(memory, "mpich_shm_x")
    with subprocess.Popen([sys.executable, "-c", LOOKER, str(path)]) as looker:
        while looker.poll() is None:
            with suppress(BlockingIOError):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    assert looker.returncode == 0


def test_who_looks_for_a_moment_does_not_use_it(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_MOMENT", 0.1)  # a thread of a busy machine may come milliseconds late
    (path,) = make(memory, "mpich_shm_x")
    opened = path.open("rb")
    threading.Timer(leftovers._MOMENT / 2, opened.close).start()
    leftovers.sweep_memory()
    assert names(memory) == []


def test_what_is_made_and_not_mapped_yet_is_in_use(memory: Path) -> None:
    (path,) = make(memory, "mpich_shm_new")
    with path.open("r+b"):
        leftovers.sweep_memory()
        assert path.exists()
    leftovers.sweep_memory()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a container takes root")
def test_a_user_that_we_cannot_see_counts(memory: Path) -> None:
    """Who sweeps stands in a container, with the host's memory and processes of its own."""
    (path,) = make(memory, "mpich_shm_1")
    sweeper = f"from rhapsody_parsl.hosts import leftovers as l; l._MEMORY = {str(memory)!r}; l.sweep_memory()"
    apart = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", sweeper]
    with user_of(path):
        subprocess.run(apart, check=True, timeout=20)
        assert path.exists()
    subprocess.run(apart, check=True, timeout=20)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_is_another_users_stays(memory: Path) -> None:
    """Dragon names memory by the last three digits of the user's number: 1000 and 2000 have the same."""
    (path,) = make(memory, "DD0000inf0M")
    os.chown(path, 12345, -1)
    leftovers.sweep_memory()
    assert path.exists()


@pytest.mark.parametrize("seen_by", ["_unused", "_mapped"])
def test_a_semaphore_that_somebody_has_is_in_use(monkeypatch: pytest.MonkeyPatch, seen_by: str) -> None:
    """Each look alone tells: it is mapped, not open, and by its maker under a first name that is gone."""
    looks: dict[str, Callable[[Any], Any]] = {"_unused": lambda _: True, "_mapped": lambda _: set()}
    monkeypatch.setattr(leftovers, *next(look for look in looks.items() if look[0] != seen_by))
    lock = multiprocessing.get_context("spawn").Lock()
    name = f"/dev/shm/sem.{lock._semlock.name[1:]}"  # type: ignore[attr-defined]  # noqa: S108 - glibc's choice
    assert leftovers.mapped_by([os.getpid()]) >= {name}
    assert leftovers.remove_unused([name])
    assert os.path.exists(name)
    copy = shutil.copy(name, f"{name}-copy")
    assert not leftovers.remove_unused([copy]), "nobody has this one"
    assert not os.path.exists(copy)


def test_without_leases_the_old_and_unmapped_goes(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    old, used, _ = make(memory, "mpich_shm_old", "mpich_shm_used", "mpich_shm_new")
    for path in (old, used):
        os.utime(path, (0, 0))
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        leftovers.sweep_memory()
    assert names(memory) == ["mpich_shm_new", "mpich_shm_used"]


def test_a_folder_that_is_held_stays(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    held = leftovers.lock(str(folder))
    assert held is not None
    assert leftovers.remove_folder(str(folder))
    os.close(held)
    assert not leftovers.remove_folder(str(folder))
    assert not folder.exists()
