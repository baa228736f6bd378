from pathlib import Path

import pytest

from rhapsody_parsl.record import read
from rhapsody_parsl.report import series
from rhapsody_parsl.wire.leases import Share
from testing.runs import BEGAN, MadeUp


@pytest.mark.parametrize(("start", "end", "expected"), [
    (0.0, 4.0, [1, 1, 1, 1]), (0.5, 0.75, [0.25, 0, 0, 0]), (0.5, 2.5, [0.5, 1, 0.5, 0]),
    (-5.0, 1.0, [1, 0, 0, 0]), (3.0, 99.0, [0, 0, 0, 1]), (5.0, 6.0, [0, 0, 0, 0]), (2.0, 2.0, [0, 0, 0, 0]),
])  # fmt: skip
def test_a_time_is_spread_over_its_bins(start: float, end: float, expected: list[float]) -> None:
    into = [0.0] * 4
    series.Bins(0.0, 4.0, 4).spread(into, start, end, 2.0)
    assert into == [2.0 * part for part in expected]


def test_cores_work_queues_and_ends_add_up(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 2.0, 2.0, shares=(Share("n0", (0, 1)),))
    made.ran(2, 4.0, 4.0, shares=(Share("n0", (0,)),), waited="cores")
    made.at(10.0).recorder.close()
    run = read(tmp_path)
    bins = series.Bins(BEGAN, BEGAN + 10.0, 10)
    cores = series.in_use(run, bins, lambda share: len(share.cores))["local"]
    assert cores == pytest.approx([0, 0, 2, 2, 1, 1, 1, 1, 0, 0], abs=1e-6)
    assert series.capacity(run, bins) == pytest.approx([8] * 10)
    ran = series.running(run, bins)["local"]
    assert ran == pytest.approx([0, 0, 1, 1, 1, 1, 1, 1, 0, 0], abs=1e-6)
    assert sum(series.ended(run, bins)["local"]) * bins.width == pytest.approx(2)
    waited = series.waiting(run, bins)
    assert {name: pytest.approx(sum(values), abs=1e-6) for name, values in waited.items()} == {
        "a block": 0.5,
        "cores": 0.25,
    }
