"""Which ranks a run gets, and what becomes of what they say."""

import pytest

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.runtimes.mpi.world.gang import members_of, pick, slots_of
from rhapsody_parsl.runtimes.mpi.world.job import Job
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import ECHO, FAILED, RAISED, RESULT, Result, Task

NODES = [
    Node(
        name=name, host="h", cores=(0, 1, 2, 3), real_cores=(0, 1, 0, 1), gpus=("0", "1", "2", "3"), gpu_vendor="nvidia"
    )
    for name in ("n0", "n1")
]


def run_on(
    *shares: tuple[int, tuple[int, ...], int], gpus: tuple[int, ...] = (), alone: bool = False, **resources: float
) -> Run:
    placed = tuple(Placed(NODES[n], Share(NODES[n].name, cores, gpus), ranks) for n, cores, ranks in shares)
    policy = PolicyValue(isolation="process" if alone else "shared")
    return Run(7, TaskSpec(comm=True, resources=Resources(**resources), policy=policy), placed)  # type: ignore[arg-type]  # a dict


def ranks_of(run: Run, busy: tuple[int, ...] = (), world_ranks: int = 0) -> list[int] | None:
    picked = pick(members_of(run), slots_of(NODES, world_ranks), busy)
    return None if picked is None else [member.rank for member in picked]


def test_a_rank_for_each_core() -> None:
    assert [(s.node, s.core) for s in slots_of(NODES)] == [(n, c) for n in ("n0", "n1") for c in range(4)]
    assert [(s.node, s.core) for s in slots_of(NODES, 3)] == [("n0", 0), ("n0", 1), ("n1", 0)]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(0, (0, 1), 2)], [0, 1]),
        ([(0, (2, 3), 2)], [2, 3]),
        ([(0, (0, 1, 2, 3), 2)], [0, 2]),
        ([(1, (1,), 1), (0, (3,), 1)], [5, 3]),
    ],
)
def test_the_rank_of_the_first_core_of_each_part(
    shares: list[tuple[int, tuple[int, ...], int]], expected: list[int]
) -> None:
    assert ranks_of(run_on(*shares)) == expected


def test_another_rank_of_the_node_when_that_one_is_not_there() -> None:
    assert ranks_of(run_on((0, (3, 1), 2)), world_ranks=4) == [0, 1]
    assert ranks_of(run_on((0, (2,), 1)), busy=(2,)) == [0]
    assert ranks_of(run_on((1, (0, 1, 2), 3)), world_ranks=4) is None
    assert ranks_of(run_on((0, (0,), 1)), busy=(0, 1, 2, 3)) is None


def test_cores_and_gpus_of_each_member() -> None:
    whole = members_of(run_on((0, (0, 1, 2, 3), 2), gpus=(0, 1, 2, 3), gpus_per_rank=2))
    assert [(m.placed.share.cores, m.placed.share.gpus) for m in whole] == [((0, 1), (0, 1)), ((2, 3), (2, 3))]
    halves = members_of(run_on((0, (0, 1, 2, 3), 4), gpus=(1, 3), gpus_per_rank=0.5))
    assert [m.placed.share.gpus for m in halves] == [(1,), (1,), (3,), (3,)]


def job_of_two(alone: bool = False, tasks: int = 3) -> Job:
    job = Job(run_on((0, (2, 3), 2), alone=alone))
    picked = pick(job.members, slots_of(NODES))
    assert picked is not None
    job.assign(picked)
    job.queue.extend(Task(number, b"", b"") for number in range(1, tasks + 1))
    return job


def said(task: int, word: bytes = b"", kind: int = RESULT) -> Result:
    return Result(task, kind, word)


def test_a_task_ends_with_its_last_rank() -> None:
    job = job_of_two()
    assert [task.id for task in job.send()] == [1, 2, 3]
    assert job.report(3, [said(1), said(2)]) == []
    assert job.report(2, [said(1, b"one")]) == [said(1, b"one")]
    assert job.open == [2, 3]
    assert job.report(2, [said(2, b"two"), said(3, b"three")]) == [said(2, b"two")]


def test_the_lowest_failing_rank_decides() -> None:
    job = job_of_two()
    job.send()
    job.report(3, [said(1, b"three", RAISED), said(2, b"bad", FAILED)])
    assert job.stuck == 1
    assert job.report(2, [said(1, b"two", RAISED), said(2, b"fine")]) == [
        said(1, b"two", RAISED),
        said(2, b"bad", FAILED),
    ]
    assert job.stuck == 0


def test_what_a_rank_raises_because_another_failed_counts_only_where_nothing_else_does() -> None:
    job = job_of_two()
    job.send()
    job.report(2, [said(1, b"connection closed by peer", ECHO), said(2, b"lost", ECHO)])
    assert job.report(3, [said(1, b"no such file", RAISED), said(2, b"lost too", ECHO)]) == [
        said(1, b"no such file", RAISED),
        said(2, b"lost", RAISED),
    ]


def test_a_hung_task_leaves_its_failure_and_the_rest_waits_again() -> None:
    job = job_of_two()
    job.send()
    job.report(3, [said(1, b"no", RAISED)])
    assert job.leave_world() == [said(1, b"no", RAISED)]
    assert ([task.id for task in job.queue], job.open) == ([2, 3], [])


def test_a_lost_world_leaves_no_failure() -> None:
    job = job_of_two()
    job.send()
    assert job.leave_world() == []
    assert job.open == [1, 2, 3]


def test_what_ranks_raise_of_a_rank_that_died_is_no_failure_of_the_task() -> None:
    job = job_of_two()
    job.send()
    job.report(3, [said(1, b"connection closed by peer", RAISED)])
    job.disregard_failures()
    assert job.stuck == 0
    assert job.leave_world() == []
    assert job.open == [1, 2, 3]


@pytest.mark.parametrize(
    ("last", "begun"), [([1, 1], 1), ([1, 2], 2), ([99, 2], 2), ([99, -1], 0), ([1, None], 3), ([3, 3], 3)]
)
def test_what_may_have_begun_is_what_the_furthest_rank_began(last: list[int | None], begun: int) -> None:
    """A rank may have begun another run's task last, or nothing, or be where nobody knows of it."""
    job = Job(run_on((0, (2, 3), 2)))
    job.queue.extend(Task(number, b"", b"") for number in (1, 2, 3))
    job.send()
    assert job.begun(last) == begun


def test_returned_from_the_queue_and_from_the_ranks() -> None:
    job = job_of_two(alone=True)
    assert [task.id for task in job.send()] == [1]
    assert job.recall([1, 2]) == [2]
    assert job.tasks == [1, 3]
    assert job.recalled([1, 9]) == [1]
    assert job.tasks == [3]
