"""Which host gives a file to which."""

import pytest

from rhapsody_parsl.hosts.sources import _AT_ONCE, _FORGOTTEN, Place, Sources

FIRST = Place("first", 1)


def spread(hosts: int) -> tuple[int, int]:
    """Have so many hosts take the file, each as soon as it may; return the rounds, and what the first one gave."""
    sources, waiting, rounds, given = Sources(FIRST), list(range(hosts)), 0, 0
    while waiting:
        rounds += 1
        taking = []
        while waiting and (place := sources.take(0.0)):
            taking.append((waiting.pop(), place))
        for host, place in taking:
            given += place == FIRST
            sources.over(place, Place(f"host{host}", 1))
    assert len(sources) == hosts + 1
    return rounds, given


@pytest.mark.parametrize(("hosts", "rounds"), [(4, 1), (24, 2), (124, 3), (1000, 5)])
def test_all_have_it_after_few_rounds_and_the_first_gives_few(hosts: int, rounds: int) -> None:
    took, given = spread(hosts)
    assert took == rounds
    assert _AT_ONCE <= given <= _AT_ONCE * rounds


def test_nobody_is_sent_where_it_could_not_be_had_but_the_first_stays() -> None:
    sources = Sources(FIRST)
    for _ in range(3):
        place = sources.take(0.0)
        assert place == FIRST
        sources.over(place, None)
    sources.over(FIRST, Place("gone", 1))
    asked = {sources.take(0.0) for _ in range(2)}
    assert asked == {FIRST, Place("gone", 1)}
    sources.over(Place("gone", 1), None)
    assert {sources.take(0.0) for _ in range(_AT_ONCE)} == {FIRST, None}


def test_who_took_it_and_says_nothing_more_is_forgotten() -> None:
    sources = Sources(FIRST)
    assert all(sources.take(0.0) for _ in range(_AT_ONCE))
    assert sources.take(_FORGOTTEN - 1) is None
    assert sources.take(_FORGOTTEN + 1) == FIRST
