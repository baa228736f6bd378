"""When an engine that lives counts as dead, on a clock of the test's own."""

from rhapsody_parsl.runtimes.vllm.progress import Progress


def test_an_engine_hangs_when_it_is_busy_and_makes_no_step() -> None:
    progress = Progress(10.0, 0.0)
    assert not progress.stalled(True, 10.0)
    assert progress.stalled(True, 10.1)


def test_each_step_and_each_moment_without_work_counts_anew() -> None:
    progress = Progress(10.0, 0.0)
    assert not progress.stalled(False, 50.0)
    assert not progress.stalled(True, 59.0)
    progress.step(59.5)
    assert not progress.stalled(True, 69.0)
    assert progress.stalled(True, 69.6)
