"""Who is asked again with whom, who is found to be the cause, and what other deaths change in that."""

from rhapsody_parsl.runtimes.vllm.deaths import OTHERS, Death
from rhapsody_parsl.runtimes.vllm.suspects import Suspects, parts
from rhapsody_parsl.services.front import NoFront


class Front(NoFront):
    """A door that has requests with some replicas, and of whose requests this is known."""

    def __init__(self) -> None:
        self.with_us, self.known = set[str](), dict[str, int]()

    def held(self, replica: str) -> int:
        return replica in self.with_us

    @property
    def deaths(self) -> dict[str, int]:
        return self.known


def groups_of(suspects: Suspects) -> list[list[int]]:
    groups = []
    while suspects:
        groups.append(suspects.take())
    return groups


def test_parts_are_few_and_as_equal_as_can_be() -> None:
    assert parts([1, 2, 3, 4, 5], 2) == [[1, 2, 3], [4, 5]]
    assert parts([1, 2, 3], 16) == [[1], [2], [3]]
    assert parts([1], 2) == [[1]]
    assert parts([], 2) == []
    assert len(parts(range(100), 16)) <= 16


def test_two_groups_after_the_first_death_and_many_after_the_second() -> None:
    suspects = Suspects(600)
    suspects.died(range(40), 0)
    assert [len(suspects.take()), len(suspects.take())] == [20, 20]
    suspects.died(range(20), 1)
    assert [len(group) for group in groups_of(suspects)] == [2] * 10


def test_who_was_not_asked_yet_comes_before_who_was() -> None:
    suspects = Suspects(600)
    suspects.died([1, 2, 3, 4], 0)
    suspects.died(suspects.take(), 1)
    assert groups_of(suspects) == [[3, 4], [1], [2]]


def convicted(
    suspects: Suspects, tasks: list[int], now: float, seconds: float = 0.3, killed: bool = False
) -> list[int]:
    """An engine dies: return who is found to be the cause."""
    suspects.died(tasks, now, seconds, killed)
    return [task for task, _ in suspects.verdicts(now)]


def chance(suspects: Suspects, task: int, now: float) -> Death:
    """An engine dies under a request that is answered by the next."""
    death = suspects.died([task], now, 1.0)
    suspects.answered(task)
    return death


def test_the_culprit_is_who_was_alone_with_two_of_three() -> None:
    suspects = Suspects(600)
    first = suspects.died([1, 2], 0)
    assert convicted(suspects, [1], 1) == []
    suspects.died([1], 2, 0.3)
    ((task, deaths),) = suspects.verdicts(2)
    assert (task, len(deaths)) == (1, 3)
    assert first.excused
    assert first.suspects == {2}
    assert suspects.waiting() == [2]


def test_one_death_alone_or_one_in_company_proves_nothing() -> None:
    suspects = Suspects(600)
    assert [convicted(suspects, [1], now) for now in range(3)] == [[], [], [1]]
    assert [convicted(suspects, tasks, 5) for tasks in ([2, 3], [2], [2])] == [[], [], [2]]


def test_a_signal_from_outside_weighs_half() -> None:
    suspects = Suspects(600)
    assert [convicted(suspects, [1], now, killed=True) for now in range(4)] == [[], [], [], [1]]


def test_engines_that_die_of_other_causes_ask_for_more_proof_until_that_is_old() -> None:
    suspects = Suspects(600)
    suspects.worked(300, 0)
    assert chance(suspects, 7, 0).unexplained
    assert [convicted(suspects, [1], 10) for _ in range(4)] == [[], [], [], [1]]
    assert [convicted(suspects, [1], 700) for _ in range(3)] == [[], [], [1]]


def test_the_proof_is_more_deaths_than_as_many_seconds_cost_by_chance() -> None:
    def needed(seconds: float) -> int:
        suspects = Suspects(600)
        suspects.worked(100, 0)
        for other in range(100, 110):
            chance(suspects, other, 0)
        return next(n for n in range(1, 30) if convicted(suspects, [1], 1, seconds))

    assert needed(0.3) == 4  # in so short a time an engine in forty dies by chance
    assert needed(1.0) == 6
    assert needed(10.0) == 20  # as engines do anyway: this is the bound


def test_a_request_that_kills_after_long_is_found_as_soon_where_nothing_else_kills() -> None:
    suspects = Suspects(600)
    assert [convicted(suspects, [1], 400.0 * now, 390.0) for now in range(3)] == [[], [], [1]]


def test_what_one_is_found_to_have_done_no_longer_speaks_for_another() -> None:
    suspects = Suspects(600)
    for tasks in ([1, 2, 3], [2, 3], [1]):
        assert convicted(suspects, tasks, 0) == []
    assert convicted(suspects, [1], 1) == []  # [2, 3] may have been chance
    suspects.died([2], 2, 0.3)
    assert suspects.verdicts(2) == []
    suspects.died([2], 3, 0.3)  # now 2 explains that death, and 1 the others
    assert sorted(task for task, _ in suspects.verdicts(3)) == [1, 2]


def test_who_was_alone_twice_waits_until_all_others_were_asked() -> None:
    suspects = Suspects(600)
    chance(suspects, 9, 0)
    suspects.died([1, 2, 3, 4], 0)
    suspects.died(suspects.take(), 1)
    assert groups_of(suspects) == [[3, 4], [1], [2]]
    suspects.died([1], 2)
    assert suspects.take(fresh=True) == [1]
    suspects.died([3, 4], 3)
    suspects.died([1], 4)
    assert not suspects.wants_fresh
    assert groups_of(suspects) == [[3], [4], [1]]


def test_nothing_is_asked_for_ever() -> None:
    suspects = Suspects(600)
    for other in range(100, 120):
        chance(suspects, other, 0)
    verdicts = [convicted(suspects, [1], now, 5.0) for now in range(20)]
    assert verdicts == [[]] * 19 + [[1]]


def test_a_culprit_explains_all_deaths_it_was_at() -> None:
    suspects = Suspects(600)
    deaths = [suspects.died(tasks, now, 0.3) for now, tasks in enumerate(([1, 2, 3], [1, 2], [1], [1]))]
    ((task, own),) = suspects.verdicts(3)
    assert (task, own) == (1, deaths)
    for other in (2, 3):
        suspects.answered(other)
    assert not any(death.unexplained for death in deaths)


def test_an_engine_that_dies_under_everything_is_at_fault_itself() -> None:
    suspects = Suspects(600)
    deaths = []
    for task in range(20):
        deaths += [suspects.died([task], 0, 0.3) for _ in range(3)]
        assert [found for found, _ in suspects.verdicts(0)] == [task]
    assert [death.unexplained for death in deaths] == [False] * 3 * 16 + [True] * 3 * 4


def test_who_is_not_wanted_any_more_may_have_been_the_cause_but_not_time_and_again() -> None:
    suspects = Suspects(600)
    deaths = []
    for task in range(20):
        deaths.append(suspects.died([task], task))
        suspects.leave(task)
    assert [death.unexplained for death in deaths] == [False] * 16 + [True] * 4
    suspects.died([50], 60)
    suspects.answered(50)
    other = suspects.died([51], 61)
    suspects.leave(51)
    assert not other.unexplained


def test_what_is_over_is_in_no_group() -> None:
    suspects = Suspects(600)
    death = suspects.died([1, 2], 0)
    suspects.leave(1)
    assert suspects.waiting() == [2]
    assert death.suspects == {2}
    suspects.leave(2)
    assert not suspects


def died_with_others(suspects: Suspects, front: Front, replica: str, now: float, tasks: tuple[int, ...] = ()) -> Death:
    """An engine dies under requests of a front door, and under ours."""
    death = suspects.died(tasks, now)
    death.replica = replica
    death.suspects.add(OTHERS)
    suspects.told(front, now)
    return death


def test_requests_of_the_front_door_are_suspects_until_it_says_more() -> None:
    suspects, front = Suspects(600), Front()
    assert died_with_others(suspects, front, "m-0/1", 0).unexplained, "it has none there"
    front.with_us = {"m-0/2"}
    death = died_with_others(suspects, front, "m-0/2", 1)
    seen = [death.unexplained]
    front.with_us = set()
    for known in ({"m-0/2": 0}, {}, {"m-0/2": 0}, {"m-0/2": 1}):
        front.known = known
        suspects.told(front, 2)
        seen.append(death.unexplained)
    assert seen == [False, False, True, False, False], "with it; one waits; all answered; told late; one is found"
    assert death.excused


def test_a_death_under_both_is_explained_when_neither_has_a_suspect_left() -> None:
    suspects, front = Suspects(600), Front()
    front.known = {"m-0/1": 0}
    death = died_with_others(suspects, front, "m-0/1", 0, (7,))
    suspects.answered(7)
    assert not death.unexplained
    front.known = {}
    suspects.told(front, 1)
    assert death.unexplained


def test_too_many_culprits_of_the_front_door_in_a_row_are_the_engines_fault() -> None:
    suspects, front = Suspects(600), Front()
    deaths = []
    for number in range(1, 21):
        front.known[f"m-0/{number}"] = number
        deaths.append(died_with_others(suspects, front, f"m-0/{number}", number))
        suspects.told(front, number)
    assert [death.unexplained for death in deaths] == [False] * 16 + [True] * 4
    suspects.told(front, 21, answered=True)
    front.known["m-0/21"] = 21
    assert not died_with_others(suspects, front, "m-0/21", 22).unexplained, "one was answered since"
