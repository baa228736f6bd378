"""Arrays that are made where they are to stay."""

import os
from pathlib import Path
from typing import Any

import numpy
import pytest

from rhapsody_parsl import empty
from rhapsody_parsl.data.layout import BEFORE, before, parts_of
from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.worker import afterwards, in_place, line, references

COUNT = 10_000


class Line:
    def task(self) -> int:
        return 7


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where a worker stands."""
    Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 1_000_000).tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    monkeypatch.setattr(in_place, "line", Line)
    return tmp_path


def drafts(folder: Path) -> list[str]:
    return os.listdir(folder / "3")


@pytest.mark.parametrize("wrap", [lambda array: array, lambda array: ({"a": array}, 1.5)])
def test_to_leave_it_copies_nothing(folder: Path, wrap: Any) -> None:
    array = empty((COUNT // 10, 10))
    (name,) = drafts(folder)
    assert (folder / "3" / name).stat().st_blocks * 512 >= array.nbytes, "its pages are there"
    array[:] = 3
    assert name.startswith("7.")
    inode = (folder / "3" / name).stat().st_ino
    references.left(7, Stays(wrap(array), 0))
    assert (folder / "data" / "7").stat().st_ino == inode
    found = references.opened(Facts("ours", "7", 0))
    found = found[0]["a"] if isinstance(found, tuple) else found
    assert (found.shape, found.sum(), found.flags.writeable) == ((COUNT // 10, 10), 3 * COUNT, False)
    del array
    assert (drafts(folder), os.listdir(folder / "data")) == ([], ["7"])


def test_a_forked_child_that_lets_go_of_it_removes_nothing(folder: Path) -> None:
    array = empty(COUNT)
    array[:] = 3
    if not (child := os.fork()):
        del array
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    references.left(7, Stays(array, 0))
    assert references.opened(Facts("ours", "7", 0)).sum() == 3 * COUNT


@pytest.mark.parametrize("of", [
    lambda array: array[1:], lambda array: array * 2, lambda array: (array, numpy.ones(3)), lambda array: 1,
])  # fmt: skip
def test_whatever_else_is_left_is_written(folder: Path, of: Any) -> None:
    array = empty(COUNT)
    array[:] = 1
    value = of(array)
    references.left(7, Stays(value, 0))
    found = references.opened(Facts("ours", "7", 0))
    assert all(map(numpy.array_equal, *(each if isinstance(each, tuple) else (each,) for each in (found, value))))
    del array, value
    afterwards.settle()
    assert drafts(folder) == []


def test_where_nothing_stays_it_is_an_array_like_any_other(folder: Path) -> None:
    for array in (empty(10_000_000, "u1"), empty(0), empty(3, object)):
        assert array.base is None
    (folder / "data.json").unlink()
    references._Host.files = None
    assert empty(3).base is None


def test_what_comes_before_it_has_its_bounds() -> None:
    assert before([b"x" * BEFORE], 3) is None
    first = before([b"pickle", b"d"], 3)
    assert first
    body, array = parts_of(memoryview(first + b"abc"))
    assert (bytes(body[:7]), bytes(array)) == (b"pickled", b"abc")
