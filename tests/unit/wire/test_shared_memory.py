"""Large payloads in files of the host's memory: there, not there, no room, and nobody who wants them."""

import mmap
import os
import resource
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.hosts import folder, leftovers
from rhapsody_parsl.payload import open_value, pack_value
from rhapsody_parsl.wire import shared_memory
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result, SharedPayload, Task
from rhapsody_parsl.wire.shared_memory import SharedMemory, block_folder, deliver, discard, discard_results, opened

LARGE = os.urandom(shared_memory.SMALLEST)


@pytest.fixture
def ours() -> Iterator[SharedMemory]:
    made = SharedMemory()
    yield made
    made.close()


def kept(path: str) -> list[str]:
    return sorted(name for name in os.listdir(path) if not name.startswith("."))


@pytest.mark.parametrize("item", [Task(7, b"spec", LARGE), Result(7, RESULT, LARGE, 1.5)])
def test_a_large_payload_goes_there_and_comes_back(ours: SharedMemory, item: Any) -> None:
    sent = deliver(item, ours.path)
    assert isinstance(sent.payload, SharedPayload)
    assert len(sent.payload) == len(LARGE)
    assert Path(sent.payload.path).parent == Path(ours.path)
    assert deliver(sent, ours.path) is sent
    assert deliver(sent, "") == item
    assert opened(sent) == opened(item) == LARGE
    discard(sent)
    discard(sent)
    assert kept(ours.path) == []
    assert opened(sent) == deliver(sent, "").payload == b"", "its task is over, and nobody waits for it"


@pytest.mark.parametrize("item", [Task(7, b"spec", LARGE[1:]), Result(7, FAILED, LARGE)])
def test_small_ones_and_what_the_pilot_opens_stay(ours: SharedMemory, item: Any) -> None:
    assert deliver(item, ours.path) is item
    assert deliver(item, "") is item
    discard(item)


def test_without_room_it_stays_in_the_message(ours: SharedMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(7, b"spec", LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(shared_memory, "_KEPT_FREE", 1.0)
        assert deliver(task, ours.path) is task
    assert kept(ours.path) == []
    assert deliver(task, f"{ours.path}/gone") is task
    assert isinstance(deliver(task, ours.path).payload, SharedPayload)
    assert deliver(task, ours.path) is task, "the name is taken"


def test_a_file_system_that_is_full_after_all_keeps_nothing(ours: SharedMemory) -> None:
    task, before = Task(7, b"spec", LARGE), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LARGE) // 2, before[1]))  # Python ignores SIGXFSZ: write() fails
    try:
        sent = deliver(task, ours.path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sent is task
    assert kept(ours.path) == []


def test_the_folder_is_ours_alone_held_and_removed(ours: SharedMemory) -> None:
    assert os.stat(ours.path).st_mode & 0o777 == 0o700
    assert leftovers.lock(ours.path) is None, "so guards leave it alone"
    other = SharedMemory()
    assert Path(ours.path).is_dir(), "one that is held is not swept"
    path = other.path
    other.close()
    other.close()
    assert not Path(path).exists()


def test_what_a_killed_driver_left_is_swept(ours: SharedMemory) -> None:
    left = folder.make("/dev/shm")  # noqa: S108 - as the driver does
    os.close(folder.hold(left))
    SharedMemory().close()
    assert not Path(left).exists()


def test_a_host_without_shared_memory_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_MEMORY", "/nowhere")
    assert SharedMemory().path == ""
    assert block_folder("", "0") == block_folder("/dev/shm/of-another-host", "0") == ""  # noqa: S108 - is not there


def test_results_that_nobody_will_read_go_and_arguments_stay(ours: SharedMemory) -> None:
    results = block_folder(ours.path, "0")
    argument = deliver(Task(7, b"spec", LARGE), ours.path)
    for task in (7, 8):
        deliver(Result(task, RESULT, LARGE), results)
    discard_results(results, [7, 9])
    discard_results("", [8])
    assert kept(results) == [f"8.{os.getpid()}"]
    assert deliver(argument, "").payload == LARGE


@pytest.mark.parametrize("value", [LARGE, bytearray(LARGE), {"a": [LARGE]}, Fraction(2, 3)])
def test_a_value_is_independent_of_its_file(ours: SharedMemory, value: Any) -> None:
    sent = deliver(Result(7, RESULT, pack_value([value, LARGE])), ours.path)
    found = open_value(opened(sent))
    assert isinstance(sent.payload, SharedPayload)
    with open(sent.payload.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[:] = bytes(len(view))
    assert found == [value, LARGE]
    discard(sent)
    assert sent.payload.path not in Path("/proc/self/maps").read_text()
