import os
from pathlib import Path

import pytest

from rhapsody_parsl.errors import NoRecord
from rhapsody_parsl.record import find, read
from rhapsody_parsl.record.entries import Closed
from rhapsody_parsl.record.journal import Journal
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.nodes import make_inventory
from testing.runs import BEGAN, MadeUp


def make(path: Path) -> Path:
    path.mkdir(parents=True)
    made = MadeUp(path / "record.msgpack")
    made.ran(1, 1.0, 1.0)
    made.recorder.close()
    return path / "record.msgpack"


def test_a_record_is_found_from_wherever_one_stands(tmp_path: Path) -> None:
    old, a, b = (make(tmp_path / "runinfo" / run / name) for run, name in (("000", "a"), ("001", "a"), ("001", "b")))
    os.utime(old, (1.0, 1.0))
    assert find(tmp_path / "runinfo") == [a, b]
    assert find(tmp_path / "runinfo" / "000") == [old]
    assert find(b.parent) == find(b) == [b]


@pytest.mark.parametrize("content", [None, b"", b"hello, I am a text"])
def test_what_is_no_record_is_refused_in_words(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "record.msgpack").write_bytes(content)
    with pytest.raises(NoRecord, match=r"no record of a run"):
        read(tmp_path)


def test_a_piece_of_another_format_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "record.msgpack")
    journal.put([Closed(1.0, 0)], 1)
    journal.close(10)
    with pytest.raises(NoRecord, match="does not begin"):
        read(tmp_path)


def test_a_host_with_another_clock_puts_no_task_before_its_start_or_after_its_end(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for number, skew in enumerate((-1000.0, 1000.0), 1):
        made.ran(number, 10.0, 2.0, make=lambda task, skew=skew: Result(task.id, RESULT, b"", 2.0, BEGAN + 12 + skew))  # type: ignore[misc]  # bound for this turn
    made.recorder.close()
    for task in read(tmp_path).tasks:
        assert task.placed <= task.started <= task.ended <= task.heard
        assert task.seconds == pytest.approx(2.0, abs=0.02)


def test_leases_of_a_block_that_came_again_are_not_those_of_the_first(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 1.0, 1.0, shares=(Share("n0", (3,)),))
    made.recorder.left("0", "gone")
    made.recorder.joined("0", make_inventory({"name": "other"}))
    made.ran(1, 4.0, 1.0, shares=(Share("other", (2,)),))
    made.recorder.close()
    run = read(tmp_path)
    assert [task.shares[0].node for task in run.tasks] == ["n0", "other"]
    assert [len(block.leases) for block in run.blocks] == [1, 1]
