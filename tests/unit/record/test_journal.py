import os
import threading
from pathlib import Path

import pytest

from rhapsody_parsl.record import journal
from rhapsody_parsl.record.entries import BlockLeft, Entry
from rhapsody_parsl.record.journal import Journal, entries


def piece(number: int) -> list[Entry]:
    return [BlockLeft(str(number), number + 0.5, "a reason"), BlockLeft(str(number), 0.0, "another")]


def numbers(path: Path) -> list[int]:
    return [int(entry.block) for entry in entries(path) if isinstance(entry, BlockLeft)]


def write(path: Path, count: int) -> Journal:
    made = Journal(path)
    for number in range(count):
        made.put(piece(number), 2)
    made.settle(10)
    return made


def test_all_is_there_in_order_once_it_has_settled_and_a_close_ends_the_thread(tmp_path: Path) -> None:
    path = tmp_path / "record"
    made = write(path, 300)
    assert numbers(path) == [number for number in range(300) for _ in range(2)]
    made.close(10)
    assert all(thread.name != "rhapsody-record" for thread in threading.enumerate())


@pytest.mark.parametrize("cut", [1, 4, 9, 20])
def test_a_torn_last_piece_is_left_out_and_all_before_it_is_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "record"
    write(path, 10).close(10)
    os.truncate(path, path.stat().st_size - cut)
    assert numbers(path) == [number for number in range(9) for _ in range(2)]


def test_zeros_that_a_crash_of_the_node_left_are_no_piece(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write(path, 3).close(10)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 30)
        file.write(bytes(60))
    assert numbers(path) == [0, 0, 1, 1]


def test_where_nothing_can_be_written_the_log_says_so_once_and_nobody_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "no such folder" / "record", 5).close(10)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the record of the run has gaps"]


def test_what_a_write_that_failed_has_left_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "record"
    made = write(path, 3)
    with path.open("ab") as torn:
        torn.write(os.urandom(1000))
    made.put(piece(7), 2)
    made.close(10)
    assert numbers(path) == [0, 0, 1, 1, 2, 2, 7, 7]


def test_a_file_system_that_does_not_answer_costs_the_record_and_no_memory_without_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "_MOST_PENDING", 10)
    pipe = tmp_path / "record"
    os.mkfifo(pipe)  # who opens it to write waits for a reader: until the end of this test
    made = Journal(pipe)
    for number in range(1000):
        made.put(piece(number), 2)
    assert made._queue.qsize() < 10
    assert "does not answer" in caplog.text
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb"):
        made.close(10)


def test_without_a_thread_more_a_piece_is_lost_and_the_next_one_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    kept = Journal(tmp_path / "record")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        kept.put(piece(1), 2)
        kept.put(piece(2), 2)
    assert [record.getMessage().count("can't start new thread") for record in caplog.records] == [1]
    kept.put(piece(3), 2)
    kept.close(5)
    assert numbers(tmp_path / "record") == [3, 3]
