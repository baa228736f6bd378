import random

from rhapsody_parsl.door.deaths import Deaths


def died(deaths: Deaths, own: set[str], replica: str, now: float = 0.0) -> bool:
    """Have a replica die under a request; return whether that is convicted."""
    deaths.died(replica, own, now)
    return deaths.convict(own)


def test_a_request_that_kills_is_a_suspect_first_and_found_while_no_others_die() -> None:
    deaths, own = Deaths(), set[str]()
    suspects = [deaths.died(f"m-{number}/1", own, number) for number in range(2)]
    assert suspects == [False, True]
    verdicts = [[died(deaths, own, f"m-{number}/1", number) for _ in range(2)] for number in range(4)]
    assert verdicts == [[False] * 2] * 3 + [[True] * 2], "each counts once"


def test_a_request_that_was_only_there_is_not_convicted_while_many_die() -> None:
    dice, deaths = random.Random(1), Deaths()  # noqa: S311 - a test
    own, longest = set[str](), 0
    for number in range(2000):
        if number > 10 and dice.random() < 0.5:  # as often as a kill meets one of two replicas
            assert not died(deaths, own, f"m-0/{number}", number)
            longest = max(longest, len(own))
        else:
            own = set()  # another one, for this one is answered
            died(deaths, set(), f"m-1/{number}", number)
    assert longest > 5


def test_nobody_is_asked_for_ever_and_old_deaths_are_forgotten() -> None:
    deaths, own = Deaths(), set[str]()
    for number in range(40):
        died(deaths, set(), f"others/{number}")
    assert [died(deaths, own, f"m-0/{number}") for number in range(20)] == [False] * 19 + [True]
    own = set()
    assert [died(deaths, own, f"m-1/{number}", 100.0) for number in range(4)] == [False] * 3 + [True], "long ago"
