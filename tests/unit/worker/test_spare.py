"""The next large value of a process finds its pages mapped, and nobody else gets them meanwhile."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from rhapsody_parsl import empty
from rhapsody_parsl.data.layout import BEFORE
from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.data_space import DataSpace
from rhapsody_parsl.worker import afterwards, in_place, line, references, spare
from rhapsody_parsl.worker.memory import Before
from testing.waiting import until

MB = 1 << 20


class Line:
    def task(self) -> int:
        return 7


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand where a worker stands."""
    spare.let_go()
    Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 100 * MB).tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    monkeypatch.setattr(in_place, "line", Line)
    monkeypatch.setattr(spare._Making, "maker", None)
    yield tmp_path
    settle()
    spare.let_go()


def settle() -> None:
    """Do what is done after a result, to its end."""
    afterwards.settle()
    if spare._Making.maker:
        spare._Making.maker.done.wait()


def left(number: int, size: int) -> None:
    """Leave a result.

    Args:
        number: Of its task, and of what it has.
        size: In bytes.
    """
    references.left(number, Stays(numpy.full(size, number, "u1"), 0))


def warm(folder: Path) -> dict[int, int]:
    """Return the sizes of what the pool has, by inode."""
    return {path.stat().st_ino: path.stat().st_size for path in (folder / ".warm").iterdir()}


def inode(folder: Path, key: str) -> int:
    return (folder / "data" / key).stat().st_ino


def test_the_next_value_is_copied_into_the_spare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(1, 2 * MB)
    assert not spare._ready
    settle()
    (made,) = warm(folder)
    monkeypatch.setattr(DataFiles, "write", None)  # nobody needs it
    size = 2 * MB - 12_345
    left(2, size)
    assert (inode(folder, "2"), warm(folder)) == (made, {})
    assert size < (folder / "data" / "2").stat().st_size < size + 500
    settle()
    found = references.opened(Facts("ours", "2", 0))
    assert (len(found), set(found)) == (size, {2})
    assert list((folder / "3").iterdir()) == []
    assert len(warm(folder)) == 1


def test_an_array_made_in_place_has_it_too(folder: Path) -> None:
    left(1, 2 * MB + BEFORE)
    settle()
    (made,) = warm(folder)
    array = empty(2 * MB, "u1")
    array[:] = 4
    (draft,) = (folder / "3").iterdir()
    assert (draft.name[:2], draft.stat().st_ino) == ("7.", made)
    references.left(7, Stays(array, 0))
    assert inode(folder, "7") == made
    assert references.opened(Facts("ours", "7", 0)).sum() == 8 * MB


@pytest.mark.parametrize("size", [MB, 5 * MB])
def test_a_value_of_another_size_leaves_it(folder: Path, size: int) -> None:
    left(1, 2 * MB + MB // 2)
    settle()
    before = warm(folder)
    left(2, size)
    assert warm(folder) == before
    assert len(spare._ready) == 1
    settle()
    left(3, size)
    assert inode(folder, "3") not in before, "one of this size was made"
    assert before.items() <= warm(folder).items(), "the other is there for anybody"


def test_nobody_else_has_it_and_it_is_anybodys_afterwards(folder: Path) -> None:
    left(1, 2 * MB)
    settle()
    (made,) = warm(folder)
    others = DataFiles(Place("ours", str(folder), str(folder / "disk"), "4", 100 * MB))
    theirs = [others.spare(2 * MB), others.spare(2 * MB)]
    assert all(theirs)
    assert len(warm(folder)) == 3, "each has its own"
    theirs.clear()
    for key in "bc":
        others.write(key, [bytes(2 * MB)])
    assert list(warm(folder)) == [made]
    spare._ready.clear()
    others.write("d", [bytes(2 * MB)])
    assert inode(folder, "d") == made


def test_one_that_was_taken_away_is_none(folder: Path) -> None:
    left(1, 2 * MB)
    settle()
    (path,) = (folder / ".warm").iterdir()
    path.unlink()
    left(2, 2 * MB)
    assert not spare._ready
    assert references.opened(Facts("ours", "2", 0))[-1] == 2


def test_room_for_values_is_not_made_of_it(folder: Path) -> None:
    left(1, 10 * MB)
    settle()
    (made,) = warm(folder)
    DataFiles(Place("ours", str(folder), str(folder / "disk"), "4", 100 * MB)).write("b", [bytes(85 * MB)])
    assert made in warm(folder)
    assert sorted(path.name for path in (folder / "disk" / "data").iterdir()) == ["1"]


def test_before_a_task_whose_memory_is_limited_it_goes(folder: Path) -> None:
    left(1, 8 * MB)
    settle()
    (made,) = warm(folder)
    assert spare._ready
    Before(None).note(1)
    assert not spare._ready
    left(2, 8 * MB)
    assert inode(folder, "2") == made, "but the file is there"


def test_one_that_nobody_wants_for_long_is_anybodys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "_KEPT_FOR", 0.01)
    left(1, 2 * MB)
    settle()
    until(lambda: not spare._ready)
    (made,) = warm(folder)
    others = DataFiles(Place("ours", str(folder), str(folder / "disk"), "4", 100 * MB))
    others.write("b", [bytes(2 * MB)])
    assert inode(folder, "b") == made


@pytest.mark.parametrize("pieces", [1, 3])
def test_who_comes_while_it_is_made_has_what_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    at_it, real, made = threading.Event(), DataSpace.more, []

    def slow(space: DataSpace) -> bool:
        if isinstance(thread := threading.current_thread(), spare._Maker):
            made.append(space.ready)
            if len(made) == pieces:
                at_it.set()
                assert thread.wake.wait(10)
        return real(space)

    monkeypatch.setattr(DataSpace, "more", slow)
    left(1, 20 * MB)
    afterwards.settle()
    assert at_it.wait(10)
    left(2, 20 * MB)
    assert len(made) == pieces, "its thread has done no more"
    assert warm(folder) == {}, "it has taken what was made"
    assert references.opened(Facts("ours", "2", 0)).sum() == 2 * 20 * MB


def test_one_that_is_made_no_further_is_anybodys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is no room for the one that is to come in its place."""
    at_it, goes_on, real = threading.Event(), threading.Event(), DataSpace.more

    def slow(space: DataSpace) -> bool:
        at_it.set()
        assert goes_on.wait(10)
        return real(space)

    left(1, 20 * MB)
    monkeypatch.setattr(DataSpace, "more", slow)
    afterwards.settle()
    first = spare._Making.maker
    assert first
    assert at_it.wait(10)
    monkeypatch.setattr(DataSpace, "more", real)
    left(2, 6 * MB)
    settle()
    assert spare._Making.maker is not first
    goes_on.set()
    first.join(10)
    others = DataFiles(Place("ours", str(folder), str(folder / "disk"), "4", 100 * MB))
    assert others.spare(20 * MB) is not None


def test_its_thread_ends_with_its_use(folder: Path) -> None:
    for number, size in enumerate((2 * MB, 2 * MB, 5 * MB, 5 * MB)):
        left(number, size)
        settle()
    until(lambda: [thread.name for thread in threading.enumerate()].count("spare") == 1, 5)


def test_a_forked_child_has_none(folder: Path) -> None:
    left(1, 2 * MB)
    settle()
    if not (child := os.fork()):
        os._exit(len(spare._ready))
    assert os.waitpid(child, 0)[1] == 0
    assert len(spare._ready) == 1


def test_where_there_is_no_room_for_it_no_part_of_it_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(space: DataSpace) -> bool:
        raise OSError(errno.ENOSPC, "full")

    left(1, 2 * MB)
    monkeypatch.setattr(DataSpace, "more", full)
    settle()
    assert (warm(folder), len(spare._ready)) == ({}, 0)


def test_no_thread_no_spare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    left(1, MB)
    settle()
    assert warm(folder) == {}
