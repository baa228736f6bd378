"""Who is asked again with whom, who is found to be the cause, and what other deaths change in that."""

from rhapsody_parsl.runtimes.vllm.suspects import Suspects, parts


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


def test_the_culprit_is_who_was_alone_with_two_of_three() -> None:
    suspects = Suspects(600)
    first = suspects.died([1, 2], 0)
    assert suspects.died([1], 1).culprit is None
    last = suspects.died([1], 2)
    assert (last.culprit, last.toll) == (1, 3)
    assert first.explained
    assert first.suspects == {2}
    assert suspects.waiting() == [2]


def test_one_death_alone_or_one_in_company_proves_nothing() -> None:
    suspects = Suspects(600)
    assert [suspects.died([1], now).culprit for now in range(3)] == [None, None, 1]
    assert [suspects.died(tasks, 5).culprit for tasks in ([2, 3], [2], [2])] == [None, None, 2]


def test_a_signal_from_outside_weighs_half() -> None:
    suspects = Suspects(600)
    assert [suspects.died([1], now, killed=True).culprit for now in range(4)] == [None, None, None, 1]


def test_deaths_of_other_causes_ask_for_more_proof_until_they_are_old() -> None:
    suspects = Suspects(600)
    other = suspects.died([7], 0)
    suspects.answered(7)
    assert other.unexplained
    assert suspects.unexplained(0) == 1
    assert [suspects.died([1], 10).culprit for _ in range(3)] == [None, None, 1]
    suspects.died([8], 20)
    suspects.answered(8)
    assert [suspects.died([1], 30).culprit for _ in range(4)] == [None, None, None, 1]
    assert suspects.unexplained(631) == 0
    assert [suspects.died([1], 700).culprit for _ in range(3)] == [None, None, 1]


def test_nothing_is_asked_for_ever() -> None:
    suspects = Suspects(600)
    for other in range(100, 120):
        suspects.died([other], 0)
        suspects.answered(other)
    verdicts = [suspects.died([1], now).culprit for now in range(10)]
    assert verdicts == [None] * 9 + [1]


def test_a_culprit_explains_all_deaths_it_was_at() -> None:
    suspects = Suspects(600)
    deaths = [suspects.died(tasks, now) for now, tasks in enumerate(([1, 2, 3], [1, 2], [1], [1]))]
    assert deaths[-1].culprit == 1
    assert deaths[-1].toll == 4
    for task in (2, 3):
        suspects.answered(task)
    assert not any(death.unexplained for death in deaths)


def test_an_engine_that_dies_under_everything_is_at_fault_itself() -> None:
    suspects = Suspects(600)
    deaths = [suspects.died([task], 0) for task in range(30) for _ in range(3 if task < 17 else 10)]
    assert suspects.unexplained(0) > 0
    assert sum(death.unexplained for death in deaths[: 3 * 16]) == 0


def test_what_is_over_is_in_no_group() -> None:
    suspects = Suspects(600)
    death = suspects.died([1, 2], 0)
    suspects.leave(1)
    assert suspects.waiting() == [2]
    assert death.suspects == {2}
    suspects.leave(2)
    assert not suspects
