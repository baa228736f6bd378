"""A file in shared memory is filled by a copy as far as its pages are mapped, and in full on any kernel."""

import ctypes
import fcntl
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.data.layout import Buffer
from rhapsody_parsl.hosts import data_space
from rhapsody_parsl.hosts.data_draft import DataDraft
from rhapsody_parsl.hosts.data_space import DataSpace, mapped
from testing.scarce import needs_mounts, on_small_disks

MB = 1 << 20
NO_SUCH_ADVICE = 12345
PIECES: list[Buffer] = [b"head", bytes(range(256)) * 12_000, b"", bytearray(5), memoryview(b"the end " * 500_000)]
WHOLE = b"".join(PIECES)


@pytest.fixture
def path() -> Iterator[str]:
    """Return one for a file in shared memory, which has no huge pages by itself."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield f"{folder}/file"


def huge(memory: memoryview) -> int:
    """Return how many bytes of what is seen are mapped as huge pages."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    of_it = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            first, last = (int(word, 16) for word in words[0].split("-"))
            of_it = first <= start < last
        elif of_it and words[0] == "ShmemPmdMapped:":
            return int(words[1]) << 10
    return 0


def resident() -> int:
    """Return how many bytes of shared memory this process has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssShmem"))


def is_made_on_demand() -> bool:
    """Return whether this kernel makes huge pages on demand, and has memory for one."""
    anywhere = mmap.mmap(-1, 4 * MB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    anywhere[::4096] = b"x" * (len(anywhere) // 4096)
    start = ctypes.addressof(ctypes.c_char.from_buffer(anywhere))
    return bool(data_space._libc.madvise(start + -start % (2 * MB), 2 * MB, data_space._COLLAPSE) == 0)


needs_huge_pages = pytest.mark.skipif(not is_made_on_demand(), reason="huge pages on demand take Linux 6.1")


@pytest.fixture(params=["as it is", "no huge pages", "none mapped ahead"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stand on a newer or an older kernel."""
    if request.param != "as it is":
        monkeypatch.setattr(data_space, "_COLLAPSE", NO_SUCH_ADVICE)
    if request.param == "none mapped ahead":
        monkeypatch.setattr(data_space, "_POPULATE_WRITE", NO_SUCH_ADVICE)
    return str(request.param)


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
@pytest.mark.parametrize("before", [0, MB, len(WHOLE), len(WHOLE) + 3 * MB])
def test_it_is_filled_however_much_of_it_is_ready(path: str, kernel: str, ahead: int, before: int) -> None:
    if before:
        Path(path).write_bytes(b"!" * before)
    space = DataSpace(path, len(WHOLE))
    for _ in range(ahead):
        space.more()
    assert os.stat(path).st_blocks * 512 >= max(space.ready, before // 4096 * 4096)
    space.become(f"{path} of another name", len(WHOLE))
    space.fill(PIECES)
    assert Path(space.path).read_bytes() == WHOLE
    assert len(space.memory) == len(WHOLE)


@needs_huge_pages
def test_its_pages_are_huge_and_seen_as_such(path: str) -> None:
    space = DataSpace(path, 7 * MB)
    while space.more():
        pass
    found = huge(space.memory)
    assert found >= 2 * MB
    assert os.stat(path).st_blocks * 512 == 7 * MB
    space.memory[:] = b"y" * 7 * MB
    with open(path, "rb") as file:
        seen = mapped(file.fileno(), 7 * MB)
    assert (seen.readonly, bytes(seen)) == (True, b"y" * 7 * MB)
    writable = memoryview(seen.obj)  # of its address alone
    skipped = -ctypes.addressof(ctypes.c_char.from_buffer(writable)) % (2 * MB)
    assert huge(writable[skipped:]) == found


@needs_huge_pages
def test_those_of_a_value_that_comes_in_pieces_too(path: str) -> None:
    value = bytes(range(256)) * (7 * MB >> 8)
    before, draft = resident(), DataDraft(path, f"{path} whole", len(value))
    for at in range(0, len(value), 100_000):
        draft.write(value[at : at + 100_000])
        with draft.opened() as file:
            assert os.pread(file.fileno(), 100_000, at) == value[at : at + 100_000]
    assert resident() - before < 3 * MB
    draft.keep()
    with open(f"{path} whole", "rb") as file:
        seen = mapped(file.fileno(), len(value))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert seen == value
    whole = memoryview(seen.obj)  # see above
    assert huge(whole[-ctypes.addressof(ctypes.c_char.from_buffer(whole)) % (2 * MB) :]) >= 2 * MB


@needs_huge_pages
def test_what_is_filled_and_not_kept_is_not_held(path: str) -> None:
    before = resident()
    space = DataSpace(path, 40 * MB)
    space.fill([b"z" * 40 * MB])
    assert resident() - before < 5 * MB
    assert Path(path).read_bytes() == b"z" * 40 * MB


def test_where_no_pages_are_mapped_ahead_it_is_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for advice in ("_COLLAPSE", "_POPULATE_WRITE"):
        monkeypatch.setattr(data_space, advice, NO_SUCH_ADVICE)
    before = resident()
    space = DataSpace(path, 8 * MB)
    while space.more():
        pass
    space.fill([b"a" * 8 * MB])
    assert resident() - before < MB
    assert Path(path).read_bytes() == b"a" * 8 * MB


@needs_huge_pages
def test_where_a_huge_page_takes_long_small_ones_are_made(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_space, "_LONG", 0.0)
    space = DataSpace(path, 8 * MB)
    while space.more():
        pass
    assert huge(space.memory) == 2 * MB
    assert os.stat(path).st_blocks * 512 == 8 * MB


_FULL = """
import os, sys
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts import data_space
if sys.argv[2] == "small":
    data_space._COLLAPSE = 12345
MB = 1 << 20
files = DataFiles(Place("token", "/dev/shm/ours", sys.argv[1], "0", 1000 * MB))
for number in range(4):
    files.write(str(number), [bytes([number + 1]) * (17 * MB)])
for number in range(4):
    assert bytes(files.open(str(number))) == bytes([number + 1]) * (17 * MB)
assert sorted(os.listdir("/dev/shm/ours/data")) == ["0", "1"]
for make in (lambda: files.spare(20 * MB), lambda: files.space(20 * MB, "7")):
    space = make()
    try:
        while space.more():
            pass
    except OSError:
        assert space.ready < 20 * MB
        files.give_up(space)
        del space
    else:
        raise AssertionError("there was room")
"""


@needs_mounts
@pytest.mark.parametrize("pages", ["huge", "small"])
def test_in_full_memory_nobody_is_killed(tmp_path: Path, pages: str) -> None:
    disks = {"/dev/shm": "48m"}  # noqa: S108 - of its own
    command = on_small_disks([sys.executable, "-c", _FULL, str(tmp_path), pages], disks)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


_NO_MAPS = """
import os, resource, sys
from rhapsody_parsl.hosts.data_files import DataFiles, Place
files = DataFiles(Place("token", sys.argv[1] + "/memory", sys.argv[1] + "/disk", "0", 1 << 30))
content = b"content " * (1 << 20)
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), used + (4 << 20)))
files.write("1", [content])
assert open(sys.argv[1] + "/memory/data/1", "rb").read(16) == content[:16]
assert os.path.getsize(sys.argv[1] + "/memory/data/1") == len(content)
"""


def test_a_process_that_may_map_no_more_writes(path: str) -> None:
    folder = os.path.dirname(path)
    done = subprocess.run(
        [sys.executable, "-c", _NO_MAPS, folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


_NO_DATA = """
import os, resource, sys
from rhapsody_parsl.hosts.data_files import DataFiles, Place
files = DataFiles(Place("token", sys.argv[1] + "/memory", sys.argv[1] + "/disk", "0", 1 << 30))
files.write("1", [b"content " * (4 << 20)])
lines = open("/proc/self/status").read().splitlines()
used = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + (16 << 20), used + (16 << 20)))
seen = files.open("1")
assert (len(seen), bytes(seen[-8:])) == (32 << 20, b"content ")
files.write("2", [seen])
assert files.open("2")[:16] == seen[:16]
"""


def test_where_memory_of_ones_own_is_short_values_are_seen_all_the_same(path: str) -> None:
    """Also where the kernel promises no more than it has: what is mapped of a file is not the process's own."""
    folder = os.path.dirname(path)
    done = subprocess.run(
        [sys.executable, "-c", _NO_DATA, folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
