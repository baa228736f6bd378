"""What the benchmarks' numbers are computed from."""

from typing import Any

import pytest

from benchmarks import coupling, heterogeneity


@pytest.mark.parametrize("share", heterogeneity.LEVELS)
def test_a_load_has_the_core_seconds_asked_for_at_any_share(share: float) -> None:
    pieces = heterogeneity.draw(share, 60.0)
    assert pieces == heterogeneity.draw(share, 60.0)
    assert sum(piece.core_seconds for piece in pieces) == pytest.approx(60.0)
    functions = sum(piece.core_seconds for piece in pieces if piece.kind == "function")
    assert functions == pytest.approx((1 - share) * 60.0)


def record(start: float, end: float, *cores: int) -> dict[str, Any]:
    return {"start": start, "end": end, "cores": list(cores)}


def test_leased_is_the_mean_number_of_cores_between_two_times() -> None:
    records = [record(0, 10, 0, 1), record(4, 5, 2), record(20, 30, 0)]
    assert heterogeneity.leased(records, 0, 10) == pytest.approx(2.1)
    assert heterogeneity.leased(records, 10, 20) == 0
    assert heterogeneity.leased(records, 9, 21) == pytest.approx(3 / 12)


def test_sizes_in_words() -> None:
    assert [coupling.size(count) for count in (8, 1_000, 30_000_000)] == ["8 B", "1 kB", "30 MB"]
