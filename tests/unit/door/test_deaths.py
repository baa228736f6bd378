import random

from rhapsody_parsl.door.deaths import Deaths


def test_a_request_that_kills_is_found_by_its_third_replica_while_no_others_die() -> None:
    deaths, own = Deaths(), set[str]()
    verdicts = []
    for number in range(3):
        own.add(f"m-{number}/1")
        for _ in range(32):  # each request that it had says so
            deaths.note(f"m-{number}/1", float(number))
        verdicts.append(deaths.convict(own))
    assert verdicts == [False, False, True]


def test_a_request_that_was_only_there_is_not_convicted_while_many_die() -> None:
    dice, deaths = random.Random(1), Deaths()  # noqa: S311 - a test
    own, longest = set[str](), 0
    for number in range(2000):
        replica = f"m-0/{number}"
        deaths.note(replica, number)
        if number > 10 and dice.random() < 0.5:  # as often as a kill meets one of two replicas
            own.add(replica)
            longest = max(longest, len(own))
            assert not deaths.convict(own)
        else:
            own = set()  # another one, for this one is answered
    assert longest > 5


def test_nobody_is_asked_for_ever_and_old_deaths_are_forgotten() -> None:
    deaths = Deaths()
    for number in range(40):
        deaths.note(f"others/{number}", 0.0)
    own = {f"m-0/{number}" for number in range(19)}
    assert not deaths.convict(own)
    assert deaths.convict(own | {"m-0/19"})
    deaths.note("m-0/0", 100.0)
    assert deaths.convict({"m-0/0", "m-0/1", "m-0/2"}), "those of others are long ago"
