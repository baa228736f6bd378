"""Each value is asked for once, however many wait for it."""

from rhapsody_parsl.data.wanted import Wanted


def test_the_first_who_waits_asks() -> None:
    wanted: Wanted[int] = Wanted()
    assert [wanted.ask("a", 1), wanted.ask("a", 2), wanted.ask("b", 3)] == [True, False, True]
    assert (wanted.keys(), len(wanted)) == (["a", "b"], 2)
    assert [wanted.take("a"), wanted.take("a"), wanted.take("b")] == [[1, 2], [], [3]]
    assert wanted.ask("a", 4)
