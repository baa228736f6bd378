"""Files of dropped values are used again, but never while somebody still sees what was in them."""

import os
from pathlib import Path

import pytest

from rhapsody_parsl.hosts import data_pool
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.data_pool import DataPool
from rhapsody_parsl.hosts.data_space import hold

MB = 1 << 20


def files_in(folder: Path, budget: int = 100 * MB) -> DataFiles:
    for name in ("memory", "disk"):
        (folder / name).mkdir()
    return DataFiles(Place("token", str(folder / "memory"), str(folder / "disk"), "0", budget))


def inode(folder: Path, key: str) -> int:
    return (folder / "memory" / "data" / key).stat().st_ino


def warm(folder: Path) -> list[int]:
    return sorted(path.stat().st_size for path in (folder / "memory" / ".warm").iterdir())


def made_ahead(files: DataFiles, size: int) -> None:
    """Have all pages of a file there for whoever comes."""
    spare = files.spare(size)
    while spare and spare.more():
        pass


@pytest.mark.parametrize("size", [2 * MB, 3 * MB, 4 * MB])
def test_the_next_value_of_about_the_size_has_its_file(tmp_path: Path, size: int) -> None:
    files = files_in(tmp_path)
    files.write("a", [b"a" * 3 * MB])
    first = inode(tmp_path, "a")
    files.drop("a")
    files.drop("a")
    assert warm(tmp_path) == [3 * MB]
    files.write("b", [b"b" * size])
    assert inode(tmp_path, "b") == first
    assert bytes(files.open("b")) == b"b" * size
    assert warm(tmp_path) == []


def test_what_somebody_sees_stays_as_it_is(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    files.write("a", [b"a" * 3 * MB])
    seen = files.open("a")
    first = inode(tmp_path, "a")
    files.drop("a")
    files.write("b", [b"b" * 3 * MB])
    assert bytes(seen) == b"a" * 3 * MB
    assert warm(tmp_path) == [3 * MB]
    del seen
    files.write("c", [b"c" * 3 * MB])
    assert inode(tmp_path, "c") == first, "it is seen no more"


def test_a_file_is_made_ahead_once_and_within_the_budget(tmp_path: Path) -> None:
    files = files_in(tmp_path, budget=40 * MB)
    made_ahead(files, 4 * MB)
    made_ahead(files, 3 * MB)
    assert warm(tmp_path) == [4 * MB], "there is one of about its size"
    (made,) = (tmp_path / "memory" / ".warm").iterdir()
    assert made.stat().st_blocks * 512 >= 4 * MB
    number = made.stat().st_ino
    files.write("a", [bytes(4 * MB)])
    assert inode(tmp_path, "a") == number
    for size in (MB // 2, 11 * MB):  # too small, and more than its part
        made_ahead(files, size)
    files.write("b", [bytes(30 * MB)])
    made_ahead(files, 4 * MB)
    assert warm(tmp_path) == [], "values come first"


def test_small_ones_many_and_what_is_too_much_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_pool, "_MOST", 3)
    files = files_in(tmp_path, budget=40 * MB)
    for number, size in enumerate((1000, 2 * MB, 9 * MB, 3 * MB, 2 * MB, 2 * MB)):
        files.write(str(number), [bytes(size)])
    for number in range(6):
        files.drop(str(number))
    assert warm(tmp_path) == [2 * MB, 2 * MB, 3 * MB]


def test_files_of_another_size_make_way(tmp_path: Path) -> None:
    files = files_in(tmp_path, budget=400 * MB)
    for number in range(data_pool._MOST):
        files.write(str(number), [bytes(MB)])
    for number in range(data_pool._MOST):
        files.drop(str(number))
    made_ahead(files, 8 * MB)
    files.write("a", [bytes(20 * MB)])
    files.drop("a")
    assert warm(tmp_path) == [MB] * (data_pool._MOST - 2) + [8 * MB, 20 * MB]


def test_values_come_before_what_is_kept_for_later(tmp_path: Path) -> None:
    files = files_in(tmp_path, budget=40 * MB)
    files.write("a", [bytes(9 * MB)])
    files.drop("a")
    files.write("b", [bytes(33 * MB)])
    assert (warm(tmp_path), files.in_memory()) == ([], 33 * MB)


def test_a_file_that_is_taken_away_is_not_there(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    files.write("a", [bytes(2 * MB)])
    path = tmp_path / "memory" / "data" / "a"
    with path.open("rb") as file:
        DataPool(str(tmp_path / "memory"), 100 * MB).put(str(path))
        with pytest.raises(FileNotFoundError):
            hold(file.fileno(), str(path))
    with pytest.raises(FileNotFoundError):
        files.open("a")
    assert os.listdir(tmp_path / "memory" / "data") == []


def test_a_file_that_a_process_had_for_a_larger_value_is_cut(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    files.write("a", [b"a" * 3 * MB])
    files.drop("a")
    made_ahead(files, 4 * MB)
    assert warm(tmp_path) == [4 * MB]
    files.write("b", [b"b" * 3 * MB])
    assert bytes(files.open("b")) == b"b" * 3 * MB


def test_a_file_that_is_being_taken_is_nobodys_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a spare writes to it."""
    files = files_in(tmp_path)
    files.write("a", [b"a" * 3 * MB])
    files.drop("a")
    others, real, theirs = DataPool(str(tmp_path / "memory"), 100 * MB), os.rename, list[object]()

    def rename(source: str, target: str) -> None:
        theirs.append(others.spare(3 * MB, new=False))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    files.write("b", [b"b" * 3 * MB])
    assert theirs == [None, None], "neither before it has its new path, nor afterwards"
