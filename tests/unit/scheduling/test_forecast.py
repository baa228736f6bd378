from rhapsody_parsl.scheduling.forecast import Waits


def test_waits_are_summed_up() -> None:
    waits = Waits.of([float(number) for number in range(100, 0, -1)])
    assert (waits.mean, waits.p50, waits.p95, waits.max) == (50.5, 50.0, 95.0, 100.0)
    assert Waits.of([]).max == 0.0
    assert Waits.of([3.0]).p95 == 3.0
