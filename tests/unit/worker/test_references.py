"""References in the process of a task."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.data.reference import Facts, Left
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.errors import DataLost, PayloadError, WorkerLost
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.payload import pack_call, pack_value
from rhapsody_parsl.wire.messages import FAILED
from rhapsody_parsl.worker import line, references
from rhapsody_parsl.worker.call import call, pack
from rhapsody_parsl.worker.own_task import OwnTask


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFiles:
    """Stand where a worker of block 3 stands."""
    place = Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 1_000_000)
    place.tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(references._Host, "place", None)
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    return DataFiles(place)


def test_a_result_is_left_and_the_value_found(files: DataFiles, tmp_path: Path) -> None:
    left = references.left(7, Stays([1, 2], 0))
    assert b"ours" in pack_value(left)
    payload = pack(8, Stays("x" * 10_000, 0)).payload
    assert isinstance(payload, bytes)
    assert len(payload) < 300
    assert sorted(os.listdir(tmp_path / "data")) == ["7", "8"]
    assert references.opened(Facts("ours", "7", 0)) == [1, 2]


def test_a_small_one_travels(files: DataFiles, tmp_path: Path) -> None:
    assert references.left(7, Stays([1, 2], 1000)) == [1, 2]
    assert os.listdir(tmp_path / "data") == []


def test_that_of_a_task_of_a_task_bears_its_block(files: DataFiles, tmp_path: Path) -> None:
    references.left(1 << 48, Stays(1, 0))
    assert os.listdir(tmp_path / "data") == [f"3-{1 << 48}"]


def test_a_fresh_process_knows_its_number_and_where(
    files: DataFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnTask, "endpoint", line.Here.endpoint)
    monkeypatch.setattr(OwnTask, "number", 9)
    monkeypatch.setattr(line.Here, "endpoint", "")
    references.left(0, Stays(1, 0))
    assert os.listdir(tmp_path / "data") == ["9"]


@pytest.mark.parametrize(("token", "why"), [("ours", "cannot ask"), ("another's", "does not see it")])
def test_what_is_not_here_is_lost(files: DataFiles, token: str, why: str) -> None:
    with pytest.raises(DataLost, match=why):
        references.opened(Facts(token, "7", 10, "model"))


def test_a_task_whose_argument_is_lost_says_so(files: DataFiles) -> None:
    result = call(1, pack_call(print, (Left(Facts("ours", "7", 10)),), {}))
    assert (result.kind, result.outcome) == (FAILED, "lost")
    assert isinstance(open_result(result)[1], DataLost)


def test_where_nothing_can_stay_it_travels(files: DataFiles, tmp_path: Path) -> None:
    (tmp_path / "data.json").unlink()
    assert references.left(7, Stays([1, 2], 0)) == [1, 2]


def pieces() -> Iterator[int]:
    yield 1


def test_what_cannot_be_written_is_told(files: DataFiles) -> None:
    with pytest.raises(PayloadError, match="result could not be serialized"):
        references.left(7, Stays(pieces(), 0))


class Shut:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def test_a_value_that_cannot_be_opened_is_named(files: DataFiles) -> None:
    references.left(7, Stays(Shut(), 0))
    error = open_result(call(1, pack_call(print, (Left(Facts("ours", "7", 10, "model")),), {})))[1]
    assert isinstance(error, PayloadError)
    assert "value of reference model" in str(error)
    assert "ValueError: invalid literal" in str(error)
    assert "unpacked" not in str(error), "words of our own"


def leaves() -> None:
    sys.exit(3)


def test_a_task_that_exits_is_told_what_apps_do() -> None:
    error = open_result(call(1, pack_call(leaves, (), {})))[1]
    assert isinstance(error, WorkerLost)
    assert str(error).startswith("The task was lost: the task called sys.exit(3). An app ends by `return`")
