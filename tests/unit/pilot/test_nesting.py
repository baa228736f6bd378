"""Tasks that submit tasks, on the simulated clock."""

from typing import Any

import pytest

from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.errors import NeedsItsParent, NoParent, RhapsodyError, TooDeep, UnroutableTask
from rhapsody_parsl.pilot.family import FIRST
from rhapsody_parsl.pilot.nesting import Limits
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation, kinds


def block_with(parent: TaskSpec, children: list[TaskSpec], *, keep: bool = False, **more: Any) -> Simulation:
    """A block of one node of two cores in which task 1 takes ten seconds, and its children one each."""
    block = Simulation(make_nodes(1, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()}, **more)
    block.offspring[1] = children, keep
    block.seconds[1] = 10.0
    block.submit(parent, 1)
    return block


def ask(block: Simulation, child: TaskSpec, parent: int = 1, *, keep: bool = False) -> type[RhapsodyError] | None:
    try:
        block.core.nesting.admit(parent, encode_spec(child), keep, block.now)
    except RhapsodyError as error:
        return type(error)
    return None


@pytest.mark.parametrize(("cores", "together"), [(0, True), (1, False)])
def test_children_run_beside_their_parent_and_it_alone_is_told(cores: int, together: bool) -> None:
    block = block_with(make_spec(cores=cores), [make_spec("child")] * 2)
    block.run()
    assert block.answered == {0: 1, 1: 1}
    assert kinds(block) == {1: "ok"}
    assert block.core.idle
    assert (block.started[FIRST] == block.started[FIRST + 1]) is together
    assert {record.parent for record in block.records if record.name == "child"} == {1}
    assert {record.parent for record in block.records if record.name == "task"} == {0}


@pytest.mark.parametrize("keep", [False, True])
def test_children_end_with_their_parent_unless_they_are_to_live_on(keep: bool) -> None:
    block = block_with(make_spec(cores=0), [make_spec("child")] * 5, keep=keep)
    for number in range(FIRST, FIRST + 5):
        block.seconds[number] = 8.0
    block.run()
    assert block.core.idle
    assert sum(number in block.started for number in range(FIRST, FIRST + 5)) == (5 if keep else 4)
    assert block.core.tally.total().cancelled == (0 if keep else 3)
    assert block.answered.total() == 2


@pytest.mark.parametrize("end", ["cancelled", "killed", "walltime"])
def test_children_end_with_a_parent_that_does_not_finish(end: str) -> None:
    parent = make_spec(cores=0, walltime=3.0 if end == "walltime" else 0.0)
    block = block_with(parent, [make_spec("child")])
    block.seconds[FIRST] = 1000.0
    if end == "killed":
        block.deadly[1] = 1
    if end == "cancelled":
        block.cancel(1, when=3.0)
    block.run(until=50.0)
    assert block.core.idle
    assert not list(block.core.open_leases())


def test_a_parent_that_starts_anew_submits_anew() -> None:
    block = block_with(make_spec(cores=0, on_loss="rerun"), [make_spec("child")])
    block.seconds.update({FIRST: 1000.0, FIRST + 1: 1.0})
    block.deadly[1] = 1
    block.run(until=10.6)
    assert block.core.state_of(FIRST) in ("stopping", "unknown")
    block.run()
    assert kinds(block) == {1: "ok"}
    assert len(block.started[1]) == 2
    assert block.answered == {1: 1}, "the first try's child has ended with it"


def test_what_waits_behind_a_parent_in_its_worker_goes_elsewhere_at_once() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.seconds.update(dict.fromkeys(range(10), 0.001))
    block.submit(make_spec(), *range(10))
    block.run(until=5.0)
    block.offspring[20] = [make_spec("child", cores=0)], False
    block.seconds.update({20: 5.0, FIRST: 0.001})
    block.submit(make_spec(), 20, 21, when=10.0)
    block.run(until=10.01)
    assert block.core.state_of(21) == "waiting"
    block.run()
    assert set(kinds(block).values()) == {"ok"}


def test_a_child_is_not_put_behind_its_parent() -> None:
    """Though they are alike, and short tasks are put behind each other where there is no other room."""
    block = Simulation(make_nodes(1, cores=2))
    block.seconds.update(dict.fromkeys(range(10), 0.001))
    block.submit(make_spec(), *range(10))
    block.run(until=5.0)
    block.offspring[20] = [make_spec()], False
    block.seconds.update({20: 5.0, 21: 3.0, FIRST: 0.001})
    block.submit(make_spec("other"), 21, when=9.0)
    block.submit(make_spec(), 20, when=10.0)
    block.run(until=10.01)
    assert block.core.state_of(FIRST) == "waiting"
    block.run()
    assert block.answered == {0: 1}


@pytest.mark.parametrize(("parent", "child", "keep", "answer"), [
    ({"cores": 2}, {"cores": 1}, False, NeedsItsParent),
    ({"cores": 2}, {"cores": 1}, True, None),
    ({"cores": 2}, {"cores": 0}, False, None),
    ({"cores": 1}, {"cores": 1}, False, None),
    ({"cores": 1}, {"cores": 2}, False, NeedsItsParent),
    ({"cores": 1}, {"num_ranks": 2}, False, NeedsItsParent),
    ({"cores": 0}, {"num_ranks": 2}, False, None),
    ({"cores": 0}, {"cores": 3}, False, UnroutableTask),
    ({"cores": 0}, {"runtime": "dragon"}, False, UnroutableTask),
])  # fmt: skip
def test_what_would_wait_for_its_parent_is_refused(
    parent: dict[str, Any], child: dict[str, Any], keep: bool, answer: type[RhapsodyError] | None
) -> None:
    block = block_with(make_spec(**parent), [])
    block.run(until=1.0)
    assert ask(block, make_spec(**child), keep=keep) is answer


def test_what_others_hold_for_now_is_no_reason() -> None:
    block = block_with(make_spec(cores=1), [])
    block.seconds[2] = 5.0
    block.submit(make_spec(cores=1), 2)
    block.run(until=1.0)
    assert ask(block, make_spec(cores=1)) is None


def test_parents_with_cores_of_their_own_that_fill_a_block_starve_their_children() -> None:
    """It is documented, and why `cores=0` is there: nobody knows which of them waits."""
    block = block_with(make_spec(cores=1), [make_spec("child")])
    block.offspring[2] = block.offspring[1]
    block.seconds[2] = 10.0
    block.submit(make_spec(cores=1), 2)
    block.run()
    assert not block.answered
    assert kinds(block) == {1: "ok", 2: "ok"}
    assert block.core.idle


def test_grandparents_count() -> None:
    block = block_with(make_spec(cores=1), [make_spec("child", cores=1)])
    block.seconds[FIRST] = 5.0
    block.run(until=2.0)
    assert ask(block, make_spec(cores=1), FIRST) is NeedsItsParent
    assert ask(block, make_spec(cores=0), FIRST) is None


def test_the_depth_is_bounded() -> None:
    block = block_with(make_spec(cores=0), [make_spec("child", cores=0)], limits=Limits(depth=1))
    block.seconds[FIRST] = 5.0
    block.run(until=2.0)
    assert ask(block, make_spec(cores=0)) is None
    assert ask(block, make_spec(cores=0), FIRST) is TooDeep


def test_who_has_finished_submits_nothing() -> None:
    block = block_with(make_spec(), [])
    block.run()
    assert ask(block, make_spec()) is NoParent
    block.offspring[1] = [make_spec()], False
    block._submit_from(1)
    assert block.core.idle


def test_a_task_for_a_runtime_of_the_first_host_goes_there() -> None:
    block = block_with(make_spec(cores=0), [])
    block.run(until=1.0)
    spec = block.core.nesting.admit(1, encode_spec(make_spec()), False, block.now)
    assert decode_spec(spec) == make_spec()


def test_draining_waits_for_parents_and_what_they_have_submitted() -> None:
    block = block_with(make_spec(cores=0), [make_spec("child")] * 4)
    block.submit(make_spec(cores=2), 2, when=0.6)
    block.run(until=1.0)
    assert block.core.return_waiting() == [2]
    assert not block.core.idle
    block.run()
    assert block.answered.total() == 4
    assert kinds(block) == {1: "ok"}


def test_a_child_that_would_not_end_before_the_block_fails() -> None:
    block = block_with(make_spec(cores=0), [make_spec("child", cores=2)] * 2, ends=40.0)
    block.seconds.update({1: 30.0, FIRST: 20.0})
    block.offspring[1][0][1] = make_spec("timed", cores=2, walltime=25)
    block.run(until=1.0)
    assert ask(block, make_spec(walltime=50)) is UnroutableTask
    block.run(until=29.0)
    assert block.answered == {0: 1, 1: 1}
    assert block.late == []


def test_what_a_parent_has_heard_of_has_ended_whatever_its_worker_has_said() -> None:
    """So a chain goes on in the worker that it has, also when the parent is faster than the worker."""
    child, second = make_spec("child"), Result(1, RESULT, b"", 1e-4, 101.0, told=1)
    block = Simulation(make_nodes(1, cores=2))
    block.seconds.update({**dict.fromkeys(range(10, 20), 1e-4), 1: 20.0, FIRST: 0.04, FIRST + 1: 1e-4})
    block.submit(child, *range(10, 20))  # from these it is known that such tasks are short
    block.offspring[1] = [child], False
    block.submit(make_spec(cores=0), 1, when=5.0)
    heard: list[int] = []

    def go_on() -> None:
        for result in block.core.nesting.heard(1, [first_of(block), second]):
            heard.append(result.id)
            block.core.done(result.told, [result], block.now)
        block.core.adopt(1, 1, [make_task(second.id, child)], False, now=block.now)

    block.at(5.02, go_on)
    block.at(5.03, lambda: heard.extend(result.id for result in block.core.nesting.heard(2, [second])))
    block.run(until=5.01)
    begun, starts = block.started[FIRST][0], len(block.starts)
    block.run()
    assert heard == [FIRST], "the other had not been submitted, and then it was another one's"
    assert block.started[FIRST + 1] == [begun + 0.04], "behind the first, whose end its worker tells then"
    assert len(block.starts) == starts, "no worker more"
    assert block.answered == {1: 1}, "the first was answered already"
    assert (block.core.tally.total().done, kinds(block)[1]) == (13, "ok")
    assert not list(block.core.nesting.heard(1, [second]))


def first_of(block: Simulation) -> Result:
    """Return what the first task of a parent answers, past the pilot, in the run that it has now."""
    run = next(active.run.id for active in block.under_way if FIRST in active.numbers())
    return Result(0, RESULT, b"", 1e-4, 100.0, told=run)


def test_what_was_heard_of_a_task_that_was_lost_all_the_same_does_not_end_its_next_try() -> None:
    """Else its worker would pass for free while it runs."""
    block = Simulation(make_nodes(1, cores=2))
    block.seconds[1], block.deadly[FIRST] = 20.0, 1
    block.offspring[1] = [make_spec("child", on_loss="rerun")], False
    block.submit(make_spec(cores=0), 1)
    answers: list[Result] = []
    block.at(1.4, lambda: answers.append(first_of(block)))
    block.at(2.0, lambda: answers.extend(block.core.nesting.heard(1, answers)))
    block.run(until=1.9)
    assert len(block.started[FIRST]) == 2, "it was lost, and runs again"
    block.run()
    assert len(answers) == 1
    assert block.answered == {0: 1}
