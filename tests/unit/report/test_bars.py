from pathlib import Path

from rhapsody_parsl.record import RunRecord, read
from rhapsody_parsl.report.bars import Bar, Timeline, timeline
from rhapsody_parsl.wire.leases import LeaseRecord, Share
from testing.runs import BEGAN, CLOCKS, MadeUp


def drawn(made: MadeUp, path: Path) -> tuple[RunRecord, Timeline]:
    made.recorder.close()
    run = read(path)
    return run, timeline(run)


def placed(bars: list[Bar]) -> list[tuple[int, int, int]]:
    return [(bar.task, bar.row, bar.rows) for bar in bars]


def test_each_core_and_gpu_has_a_row_and_a_task_a_bar_on_those_it_held(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 1.0, 2.0, shares=(Share("n0", (1,)),))
    made.ran(2, 2.0, 2.0, shares=(Share("n0", (0, 2, 3), (0,)), Share("n1", (0, 1, 2, 3))))
    _, of = drawn(made, tmp_path)
    assert [tuple(rows) for rows in of.rows] == [
        ("n0", "core", 0, 4), ("n0", "GPU", 4, 1), ("n1", "core", 5, 4), ("n1", "GPU", 9, 1),
    ]  # fmt: skip
    assert placed(of.bars) == [(1, 1, 1), (2, 0, 1), (2, 2, 2), (2, 4, 1), (2, 5, 4)]
    assert (of.bars[0].start - BEGAN, of.bars[0].end - BEGAN) == (1.0, 3.0)


def test_requests_lie_beside_each_other_in_as_few_rows_as_they_need(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for number, start in enumerate((1.0, 1.5, 3.5), 1):
        made.ran(number, start, 2.0, shares=(), service="assistant")
    _, of = drawn(made, tmp_path)
    assert tuple(of.rows[-1]) == ("requests to assistant", "request", 10, 2)
    assert placed(of.bars) == [(1, 10, 1), (2, 11, 1), (3, 10, 1)]


def test_of_leases_those_of_services_are_drawn_and_those_no_task_tells_of(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 1.0, 2.0)
    share = (Share("n1", (0,)),)
    of_service = LeaseRecord(8, "vllm", "service assistant[0]", share, BEGAN, BEGAN + 9, 0)
    of_cancelled = LeaseRecord(9, "local", "app", share, BEGAN + 4, BEGAN + 6, 1)
    made.recorder.ended("0", (), [of_service, of_cancelled], CLOCKS)
    _, of = drawn(made, tmp_path)
    assert [(bar.task, bar.outcome, bar.row) for bar in of.bars] == [(0, "service", 5), (0, "lease", 5), (1, "done", 0)]
