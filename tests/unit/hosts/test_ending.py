import pytest

from rhapsody_parsl.hosts.ending import Cause, cause_of, from_shell, how_ended


@pytest.mark.parametrize(("code", "words"), [
    (None, "ended"), (0, "left with exit code 0"), (3, "left with exit code 3"), (-9, "was ended by signal 9"),
    (137, "left with exit code 137"), (from_shell(137), "was ended by signal 9"),
    (from_shell(3), "left with exit code 3"),
])  # fmt: skip
def test_how_a_process_ended_in_words(code: int | None, words: str) -> None:
    assert how_ended(code) == words


@pytest.mark.parametrize(("code", "cause"), [
    (0, "own"), (1, "own"), (-9, "killed"), (-15, "killed"), (137, "killed"), (143, "killed"),
    (-11, "own"), (139, "own"), (9, "own"), (15, "own"),
])  # fmt: skip
def test_what_a_process_ended_of(code: int, cause: Cause) -> None:
    assert cause_of(code) == cause
