import random

from rhapsody_parsl.door.deaths import Deaths
from rhapsody_parsl.door.queue import Queue, Turn
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.wire.door import Route


def died(deaths: Deaths, own: set[str], replica: str, now: float = 0.0) -> bool:
    """Have a replica die under a request; return whether that is convicted."""
    deaths.died(replica, own, now)
    return deaths.convict(own)


def test_a_request_that_kills_is_a_suspect_first_and_found_while_no_others_die() -> None:
    deaths, own = Deaths(), set[str]()
    suspects = [deaths.died(f"m-{number}/1", own, number) for number in range(2)]
    assert suspects == [False, True]
    verdicts = [[died(deaths, own, f"m-{number}/1", number) for _ in range(2)] for number in range(5)]
    assert verdicts == [[False] * 2] * 5, "each counts once"
    assert died(deaths, own, "m-5/1")


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
    assert [died(deaths, own, f"m-1/{number}", 1000.0) for number in range(6)] == [False] * 5 + [True], "long ago"


def test_deaths_that_one_request_explains_count_neither_for_nor_against_another() -> None:
    deaths, killer, beside = Deaths(), set[str](), set[str]()
    convicted = []
    for number in range(6):
        convicted.append(died(deaths, killer, f"m-0/{number}"))
        deaths.died(f"m-0/{number}", beside, 0.0)
    assert convicted[-1]
    assert not beside, "it was only there"
    next_one = [died(deaths, beside, f"m-0/{number}") for number in range(6, 12)]
    assert next_one == [False] * 5 + [True], "as if none had died before"


def test_who_waits_is_suspected_who_is_answered_is_not_and_who_leaves_takes_the_secret_along() -> None:
    deaths = Deaths()
    own = [set[str]() for _ in range(3)]
    for one in own:
        died(deaths, one, "m-0/1")
    died(deaths, own[1], "m-0/2")
    assert deaths.suspicions == {"m-0/1": 0, "m-0/2": 0}
    deaths.over(own[0], answered=True)
    deaths.over(own[2], answered=True)
    assert deaths.suspicions == {"m-0/1": 0, "m-0/2": 0}, "one is still there"
    deaths.over(own[1], answered=True)
    assert deaths.suspicions == {}
    died(deaths, own[2], "m-0/3")
    assert deaths.suspicions == {"m-0/1": 0, "m-0/3": 0}
    deaths.over(own[2])
    deaths.over(own[2])
    assert deaths.suspicions == {"m-0/1": 1, "m-0/3": 1}
    killer = set[str]()
    assert [died(deaths, killer, f"m-0/{number}") for number in range(4, 13)] == [False] * 8 + [True]
    assert deaths.suspicions == {f"m-0/{number}": 2 if number > 3 else 1 for number in (1, *range(3, 13))}
    deaths.over(killer)
    died(deaths, set(), "m-0/13", 700.0)
    assert deaths.suspicions == {"m-0/13": 0}, "the others are forgotten"


def test_no_request_is_convicted_when_replicas_are_killed_one_after_the_other() -> None:
    convicted = sum(campaign(seed) for seed in range(300))
    assert convicted == 0


def campaign(seed: int, kills: int = 30, start: int = 2) -> int:
    """Kill one of four replicas after the other, while others start; return how many requests are convicted."""
    dice, deaths, convicted = random.Random(seed), Deaths(), 0  # noqa: S311 - a test
    router = Router()
    queue, held = Queue(router, "m"), dict[Turn, Seat]()
    queue.most = router.most = 100
    ready = {f"m-{number}/0": 0 for number in range(4)}
    asked = [Turn() for _ in range(32)]
    for now in range(kills):
        there = [name for name, at in ready.items() if at <= now]
        router.update(Route(name, "") for name in there)
        for turn in asked:
            if seat := queue.ask(turn, now):
                held[turn] = seat
        held.update(queue.served(now))
        answered = [turn for turn in held if dice.random() < 0.5]
        asked = [Turn() for _ in answered]
        gone = dice.choice(there)
        del ready[gone]
        ready[f"{gone.partition('/')[0]}/{now + 1}"] = now + start
        for turn in [turn for turn, seat in held.items() if turn in answered or seat.replica == gone]:
            router.ended(held.pop(turn), turn.suspect)
            if turn not in answered:
                turn.suspect = deaths.died(gone, turn.deaths, now)
                convicted += deaths.convict(turn.deaths)
                asked.append(turn)
    return convicted
