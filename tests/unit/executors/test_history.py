import os
from pathlib import Path

import pytest

from rhapsody_parsl.executors.history import History
from rhapsody_parsl.wire.leases import LeaseRecord, Share


def lease(number: int) -> LeaseRecord:
    return LeaseRecord(number, "local", "app", (Share("n0", (0, 1)),), number + 0.25, number + 0.5, 3)


def numbers(history: History) -> list[int]:
    return [record.lease for _, record in history]


def test_all_is_told_and_little_lies_in_memory(tmp_path: Path) -> None:
    history = History(tmp_path / "timeline")
    for start in range(0, 50_000, 70):
        history.add(str(start % 3), map(lease, range(start, min(start + 70, 50_000))))
    assert numbers(history) == list(range(50_000))
    assert next(iter(history)) == ("0", lease(0))
    assert len(history._newest) < 9000
    assert (tmp_path / "timeline").stat().st_size < 50_000 * 100


def test_a_reader_is_not_disturbed_by_what_comes_meanwhile(tmp_path: Path) -> None:
    history = History(tmp_path / "timeline")
    history.add("0", map(lease, range(10_000)))
    reader = iter(history)
    next(reader)
    history.add("0", map(lease, range(10_000, 30_000)))
    assert sum(1 for _ in reader) == 9_999
    assert numbers(history) == list(range(30_000))


def test_where_nothing_can_be_written_the_newest_are_told_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(tmp_path / "no such folder" / "timeline")
    for start in range(0, 40_000, 1000):
        history.add("0", map(lease, range(start, start + 1000)))
    told = numbers(history)
    assert told == list(range(40_000 - len(told), 40_000))
    assert 4000 < len(told) < 9000
    assert len(caplog.records) == 1


def test_what_a_failed_write_has_left_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "timeline"
    history = History(file)
    history.add("0", map(lease, range(10_000)))
    with file.open("ab") as torn:
        torn.write(os.urandom(1000))
    history.add("0", map(lease, range(10_000, 30_000)))
    assert numbers(history) == list(range(30_000))
