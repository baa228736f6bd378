"""Values as files of a host: whole or not at all, in memory within the budget, on disk beyond it."""

import os
import threading
from pathlib import Path

import pytest

from rhapsody_parsl.hosts.data_files import DataFiles, Place

KB = 1000


def place(folder: Path, budget: int = 10 * KB, memory: bool = True) -> Place:
    for name in ("memory", "disk"):
        (folder / name).mkdir(exist_ok=True)
    return Place("token", str(folder / "memory") if memory else "", str(folder / "disk"), "0", budget)


def lying(folder: Path, root: str) -> set[str]:
    return {path.name for path in (folder / root).rglob("*") if path.is_file() and not path.name.startswith(".")}


def test_a_value_is_written_read_and_dropped(tmp_path: Path) -> None:
    files = DataFiles(place(tmp_path))
    assert files.write("a", [b"12", memoryview(b"345")]) == 5
    file = files.open("a")
    assert (bytes(file), file.readonly) == (b"12345", True)
    assert files.in_memory() == 5
    files.drop("a")
    files.drop("a")
    assert bytes(file) == b"12345", "who has mapped it keeps it"
    with pytest.raises(FileNotFoundError):
        files.open("a")
    assert not lying(tmp_path, "memory") | lying(tmp_path, "disk")


def test_what_was_used_longest_ago_goes_to_the_disk(tmp_path: Path) -> None:
    files = DataFiles(place(tmp_path))
    for age, key in enumerate("cba"):
        files.write(key, [key.encode() * 4 * KB])
        os.utime(tmp_path / "memory" / "data" / key, (age, age)) if key != "a" else None
    assert (lying(tmp_path, "memory"), lying(tmp_path, "disk")) == ({"a", "b"}, {"c"})
    os.utime(tmp_path / "memory" / "data" / "a", (1, 1))
    files.open("b")
    files.write("d", [b"d" * 4 * KB])
    assert (lying(tmp_path, "memory"), lying(tmp_path, "disk")) == ({"b", "d"}, {"a", "c"})
    assert [bytes(files.open(key)[:1]) for key in "abcd"] == [b"a", b"b", b"c", b"d"]
    for key in "abcd":
        files.drop(key)
    assert not lying(tmp_path, "memory") | lying(tmp_path, "disk")


@pytest.mark.parametrize("memory", [True, False])
def test_one_that_is_too_large_is_written_to_the_disk(tmp_path: Path, memory: bool) -> None:
    files = DataFiles(place(tmp_path, KB, memory))
    files.write("a", [b"a" * 2 * KB])
    assert (lying(tmp_path, "memory"), lying(tmp_path, "disk")) == (set(), {"a"})
    assert len(files.open("a")) == 2 * KB


def test_without_room_nothing_is_left(tmp_path: Path) -> None:
    files = DataFiles(place(tmp_path))
    for root in ("memory", "disk"):
        (tmp_path / root / "data").rmdir()
    with pytest.raises(OSError, match="No such file"):
        files.write("a", [b"a"])
    assert not lying(tmp_path, "memory") | lying(tmp_path, "disk")


def test_processes_of_the_host_are_told_where(tmp_path: Path) -> None:
    assert Place.told(str(tmp_path)) is None
    said = place(tmp_path)
    said.tell(str(tmp_path))
    assert Place.told(str(tmp_path)) == said


def test_a_file_that_was_filled_in_place_becomes_a_value(tmp_path: Path) -> None:
    files = DataFiles(place(tmp_path))
    path = files.space(100, "7").path
    assert os.path.getsize(path) == 100
    assert files.keep(path, "7", b"first") == 100
    assert bytes(files.open("7")) == b"first" + bytes(95)
    assert not os.path.exists(path)
    with pytest.raises(OSError, match="no room in memory"):
        files.space(20 * KB, "8")


def test_what_is_not_whole_goes_too(tmp_path: Path) -> None:
    files = DataFiles(place(tmp_path))
    files.write("7", [b"a"])
    files.space(100, "7")
    files.space(100, "77")
    files.discard(["7"])
    assert [name.partition(".")[0] for name in lying(tmp_path, "memory")] == ["77"]


def test_one_at_a_time_is_at_a_value(tmp_path: Path) -> None:
    files, order = DataFiles(place(tmp_path)), list[str]()

    def second() -> None:
        with files.alone("a"):
            order.append("second")

    with files.alone("a"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert not lying(tmp_path, "memory") | lying(tmp_path, "disk")
