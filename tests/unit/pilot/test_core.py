from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.errors import BackendFailed, NodeLost
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.wire.messages import RESULT
from rhapsody_parsl.wire.totals import Totals
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation, error_of, kinds, short_apps

keys = st.fixed_dictionaries(
    {},
    optional={
        "cores": st.integers(0, 6),
        "gpus": st.sampled_from([0, 0.25, 0.5, 1, 2]),
        "memory": st.integers(0, 70),
        "priority": st.integers(-2, 3),
        "placement": st.sampled_from(["pack", "spread", "exclusive"]),
        "walltime": st.sampled_from([0, 0.7, 5]),
        "on_loss": st.sampled_from(["fail", "rerun"]),
        "near": st.sampled_from(["", "here"]),
    },
)
gangs = st.fixed_dictionaries(
    {"runtime": st.just("mpi"), "num_ranks": st.integers(1, 9)},
    optional={"cores_per_rank": st.integers(1, 2), "priority": st.integers(-2, 3)},
)
whole_nodes = st.fixed_dictionaries({"num_nodes": st.integers(1, 4)})
arrivals = st.lists(
    st.tuples(
        st.one_of(keys, keys, gangs, whole_nodes),
        st.integers(1, 30),
        st.floats(0, 20),
        st.sampled_from([0.0001, 0.001, 0.01, 0.1, 1.0, 30.0]),
    ),
    min_size=1,
    max_size=10,
)
blocks = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=4)


@settings(max_examples=400, deadline=None)
@given(blocks, arrivals, st.sampled_from([0.0, 0.3]), st.randoms(use_true_random=False))
def test_every_task_ends_exactly_once(nodes: list[tuple[int, int]], work: list[Any], turn: float, random: Any) -> None:
    """Tasks of all kinds, some that kill their worker, some cancelled: the simulation asserts on the way."""
    block = Simulation(
        [make_node(f"n{i}", cores, gpus) for i, (cores, gpus) in enumerate(nodes)],
        {"local": FakeRuntime(), "mpi": FakeRuntime()},
    )
    block.turn = turn
    count, cancelled = 0, set()
    for asked, tasks, when, seconds in work:
        numbers = range(count, count + tasks)
        count += tasks
        block.submit(make_spec(**asked), *numbers, when=when)
        for number in numbers:
            block.seconds[number] = seconds if random.random() < 0.9 else 5.0
            if random.random() < 0.05:
                block.deadly[number] = random.choice([1, 2, 9])
            if random.random() < 0.1:
                cancelled.add(number)
                block.cancel(number, when=when + random.choice([0.0, 0.6, 3.0, 40.0]))
    block.run()
    assert set(range(count)) - set(block.ended) <= cancelled
    assert (block.core.queued, block.core.running, list(block.core.open_leases())) == (0, 0, [])
    assert all(account.untouched for account in block.core.ledger.accounts.values())
    assert not block.core._outcomes._reruns, "what has ended is remembered"
    for number, times in block.started.items():
        assert len(times) <= 4, f"task {number} began {len(times)} times"


def test_no_task_begins_twice_unless_it_may() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(), *range(40))
    block.seconds = dict.fromkeys(range(40), 0.001)
    block.deadly = {17: 1}
    block.run()
    assert {n: len(times) for n, times in block.started.items()} == dict.fromkeys(range(40), 1)
    assert [n for n, kind in kinds(block).items() if kind != "ok"] == [17]


def test_the_loss_case_of_mpi_executor() -> None:
    """Tasks of 1, 1 and 4 nodes on 4 nodes: MPIExecutor 2026.10 never runs the last."""
    block = Simulation(make_nodes(4), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    for number, nodes in enumerate((1, 1, 4)):
        block.submit(make_spec(num_nodes=nodes), number, when=number * 0.01)
    block.run()
    assert kinds(block) == {0: "ok", 1: "ok", 2: "ok"}
    assert block.begun_on[2] == ["n0", "n1", "n2", "n3"]


@pytest.mark.parametrize(
    "gang", [{"num_nodes": 4}, {"runtime": "mpi", "num_ranks": 16}, {"runtime": "mpi", "num_ranks": 9}]
)
def test_a_gang_is_not_starved_by_a_stream_of_small_tasks(gang: dict[str, Any]) -> None:
    block = Simulation(make_nodes(4), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    for number in range(400):
        block.submit(make_spec(), number, when=number * 0.25)
        block.seconds[number] = 7.0
    block.submit(make_spec(**gang), 1000, when=10.0)
    block.run()
    assert len(block.ended) == 401
    assert block.started[1000][0] < 10.0 + 3.0 + 2 * 7.0 + 1.0


def test_a_wide_task_of_one_node_is_not_starved_either() -> None:
    block = Simulation(make_nodes(1, cores=4))
    for number in range(200):
        block.submit(make_spec(), number, when=number * 0.5)
        block.seconds[number] = 3.0
    block.submit(make_spec(cores=4), 1000, when=5.0)
    block.run()
    assert block.started[1000][0] < 5.0 + 3.0 + 2 * 3.0 + 1.0


def test_small_tasks_use_the_nodes_that_no_gang_waits_for() -> None:
    block = Simulation(make_nodes(3, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.submit(make_spec(), 0)
    block.seconds[0] = 50.0
    block.submit(make_spec(num_nodes=3), 1, when=1.0)
    block.submit(make_spec(), *range(10, 20), when=1.5)
    block.run()
    assert min(block.started[n][0] for n in range(10, 20)) < 5.0, "before the gang's patience they pass it"
    assert block.started[1][0] == pytest.approx(50.5)


def test_priority_goes_first_and_age_catches_up() -> None:
    block = Simulation(make_nodes(1, cores=1), scheduling=Fifo(ageing=10.0))
    block.submit(make_spec(), 0)
    block.submit(make_spec(priority=1), 1, when=0.1)
    block.submit(make_spec(priority=0), 2, when=0.2)
    block.submit(make_spec(priority=-1), 3, when=0.3)
    for number in range(10, 60):
        block.submit(make_spec(priority=-2), number, when=1.0 + number * 0.9)
    block.run()
    begun = {number: times[0] for number, times in block.started.items()}
    assert begun[3] < begun[2] < begun[1]
    assert begun[1] < 40.0, "an endless stream of urgent tasks does not hold it up for ever"


def test_a_walltime_ends_a_task_and_spares_its_neighbours() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.submit(make_spec(walltime=2), 0, 1)
    block.seconds[0] = 60.0
    block.run()
    assert kinds(block) == {0: "WalltimeExceeded", 1: "ok"}
    assert block.ended_at[0] == pytest.approx(2.5, abs=0.01)


def test_a_walltime_is_never_spent_waiting_behind_others() -> None:
    """Short tasks are put behind each other in a worker; each one's time begins when the one before it has ended."""
    block = Simulation(make_nodes(1, cores=1))
    block.seconds = dict.fromkeys(range(400), 0.004) | {300: 60.0}
    for number in range(400):
        block.submit(make_spec(walltime=0.04 + number / 1e6), number)
    block.run()
    assert {n: kind for n, kind in kinds(block).items() if kind != "ok"} == {300: "WalltimeExceeded"}
    assert error_of(block.ended[300]).args == (pytest.approx(0.0403),)
    assert block.ended_at[300] - block.started[300][0] == pytest.approx(0.04, abs=0.005)
    assert max(block.started[n][0] for n in range(400)) < 3.0


def test_a_task_that_exceeds_its_memory_fails_alone_and_is_not_run_again() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.seconds = dict.fromkeys(range(200), 0.001)
    block.greedy = {50, 120}
    block.submit(make_spec(on_loss="rerun"), *range(200))
    block.run()
    ends = kinds(block)
    assert {number for number, kind in ends.items() if kind != "ok"} == {50, 120}
    assert {ends[50], ends[120]} == {"MemoryExceeded"}
    assert (len(block.started[50]), len(block.started[120])) == (1, 1)


def test_short_tasks_behind_a_long_one_are_called_back() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.seconds = dict.fromkeys(range(1000), 0.0005) | {300: 100.0}
    block.submit(make_spec(), *range(1000))
    block.run(until=20.0)
    assert set(range(1000)) - set(block.ended) == {300}


def test_cancel_queued_and_running() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(), 0, 1, 2)
    block.seconds[0] = 100.0
    block.cancel(0, 1, when=3.0)
    block.run()
    assert kinds(block) == {2: "ok"}
    assert list(block.started) == [0, 2]
    assert block.core.tally.total() == Totals(done=1, failed=0, cancelled=2)


def test_a_cancel_that_comes_too_late_is_nothing() -> None:
    block = Simulation(make_nodes(1))
    block.submit(make_spec(), 0)
    block.cancel(0, 99, when=50.0)
    block.run()
    assert kinds(block) == {0: "ok"}


@pytest.mark.parametrize(("deaths", "on_loss", "kind", "runs"), [
    (1, "fail", "WorkerLost", 1),
    (1, "rerun", "ok", 2),
    (9, "rerun", "WorkerLost", 4),
])  # fmt: skip
def test_lost(deaths: int, on_loss: str, kind: str, runs: int) -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(on_loss=on_loss), 0, 1)
    block.deadly[0] = deaths
    block.run()
    assert kinds(block) == {0: kind, 1: "ok"}
    assert len(block.started[0]) == runs


def test_a_runtime_that_does_not_start_fails_its_tasks_and_is_tried_again() -> None:
    broken = BackendFailed("dragon", "no such command", "log")
    block = Simulation(
        make_nodes(1), {"local": FakeRuntime(), "dragon": FakeRuntime()}, default="local", failing={"dragon": broken}
    )
    block.submit(make_spec(runtime="dragon"), 0, 1)
    block.submit(make_spec(), 2)
    block.at(5.0, block.failing.clear)
    block.submit(make_spec(runtime="dragon"), 3, when=6.0)
    block.run()
    assert kinds(block) == {0: "BackendFailed", 1: "BackendFailed", 2: "ok", 3: "ok"}
    assert error_of(block.ended[0]).args == broken.args


@pytest.mark.parametrize("asked", [{"cores": 5}, {"gpus": 1}, {"memory": 65}, {"labels": ["x"]}, {"num_nodes": 3},
                                   {"num_ranks": 9}, {"service": "s"}])  # fmt: skip
def test_what_can_never_run_is_refused_at_once(asked: dict[str, Any]) -> None:
    block = Simulation(make_nodes(2), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.submit(make_spec(cores=4), 1, 2)
    block.submit(make_spec(**asked), 0, when=0.1)
    block.run(until=0.2)
    assert kinds(block)[0] == "UnroutableTask"


def test_the_window_of_a_service_follows_its_replicas() -> None:
    block = Simulation(make_nodes(1, cores=1), {"vllm": FakeRuntime()}, windows={"vllm": 1})
    block.core.set_window("m", 4, 0.0)
    block.seconds.update(dict.fromkeys(range(20), 100.0))
    block.submit(make_spec(service="m"), *range(10))
    block.submit(make_spec(service="other"), *range(10, 20))
    running: list[int] = []
    block.at(10.0, lambda: running.append(block.core.running))
    block.at(11.0, lambda: block.core.set_window("m", 6, block.now))
    block.at(12.0, lambda: running.append(block.core.running))
    block.at(13.0, lambda: block.core.set_window("m", 2, block.now))
    block.run()
    assert running == [4 + 1, 6 + 1]
    assert set(kinds(block).values()) == {"ok"}


def test_requests_take_no_lease_and_fill_their_window() -> None:
    block = Simulation(make_nodes(1, cores=1), {"vllm": FakeRuntime()}, windows={"vllm": 8})
    block.submit(make_spec(service="llm"), *range(50))
    block.run(until=0.6)
    assert block.core.running == 8
    assert block.core.ledger.leases == []
    block.run()
    assert len(block.ended) == 50


def test_specs_that_are_never_seen_again_are_forgotten() -> None:
    """A campaign of short apps, one after the other, each with a spec of its own."""
    block = Simulation(make_nodes(1, cores=1))
    for number in range(1500):
        short_apps(block, number, when=1.0 + 0.005 * number, near=f"data {number}")
    block.run()
    assert len(block.ended) == 1500
    assert len(block.core._backlog._lanes._lanes) < 1100


def test_what_is_withdrawn_never_runs_here_and_the_rest_ends() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(), *range(4))
    block.submit(make_spec(cores=0), *range(4, 6), when=0.6)
    withdrawn: list[int] = []
    block.at(1.0, lambda: withdrawn.extend(block.core.return_waiting()))
    block.run()
    assert withdrawn
    assert sorted([*withdrawn, *block.ended]) == list(range(6))
    assert set(block.started) == set(block.ended)
    assert (block.core.queued, block.core.running) == (0, 0)


def test_a_lost_node_costs_its_own_tasks_only_and_is_used_again() -> None:
    block = Simulation(make_nodes(2, cores=1))
    spec, again = make_spec(), make_spec("again", on_loss="rerun")
    block.submit(spec, 1, 2)
    block.submit(again, 3, when=2.0)
    block.seconds = {1: 10.0, 2: 10.0, 3: 3.0}
    block.at(5.0, lambda: block.lose_node("n0"))
    block.submit(spec, 4, 5, when=6.0)
    block.at(11.5, lambda: block.core.node_back("n0", block.now))
    block.run()
    error = error_of(block.ended[1])
    assert isinstance(error, NodeLost)
    assert error.args == ("n0", "power")
    assert {block.ended[task].kind for task in (2, 3, 4, 5)} == {RESULT}
    assert block.begun_on[3] == ["n1"]
    assert block.begun_on[4] == block.begun_on[5] == ["n0"]


@pytest.mark.parametrize("comes", [True, False])
def test_what_needs_a_node_that_is_still_to_come_waits_until_that_is_known(comes: bool) -> None:
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.core.ledger.expect(["n1"])
    block.submit(make_spec("both", runtime="mpi", num_ranks=2), 1)
    block.submit(make_spec(), 2, 3)
    block.at(20.0, lambda: block.core.node_back("n1", 20.0) if comes else block.core.node_lost("n1", "silence", 20.0))
    block.run()
    assert {block.ended[task].kind for task in (2, 3)} == {RESULT}
    assert block.begun_on[2] == block.begun_on[3] == ["n0"]
    if comes:
        assert block.ended[1].kind == RESULT
        assert sorted(block.begun_on[1]) == ["n0", "n1"]
    else:
        assert isinstance(error_of(block.ended[1]), NodeLost)


def test_what_only_a_lost_node_could_hold_fails_at_once() -> None:
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    both = make_spec("both", runtime="mpi", num_ranks=2)
    block.submit(make_spec(), 1, 2)
    block.submit(both, 3, when=0.6)
    block.seconds = {1: 100.0, 2: 100.0}
    block.at(5.0, lambda: block.lose_node("n0"))
    block.submit(both, 4, when=6.0)
    block.run(until=7.0)
    assert {type(error_of(block.ended[task])) for task in (1, 3, 4)} == {NodeLost}
    assert "what is left of the block cannot hold it" in str(error_of(block.ended[4]))
    assert 2 not in block.ended


def test_tasks_of_a_runtime_that_starts_nothing_fail_together_and_later_ones_try_again() -> None:
    block = Simulation(make_nodes(1, cores=4))
    block.stillborn = lambda: block.now < 60
    block.submit(make_spec(), *range(1000))
    block.submit(make_spec(), 1000, when=30)
    block.submit(make_spec(), 1001, when=61)
    block.run()
    assert set(kinds(block).values()) == {"BackendFailed", "ok"}
    assert kinds(block)[1001] == "ok"
    assert max(block.ended_at[number] for number in range(1000)) < 5  # three rounds of a start, and the pauses
    assert sum(at < 30 for at in block.starts) <= 3 * 4
    assert [at for at in block.starts if 30 <= at < 60] == pytest.approx([30, 30.75, 31.75])


def test_a_runtime_with_something_at_work_is_given_up_for_nobody_and_its_starts_get_rare() -> None:
    block = Simulation(make_nodes(1, cores=4))
    block.seconds = dict.fromkeys(range(40), 20.0)
    block.stillborn = lambda: len(block.starts) > 2 and block.now < 50
    block.submit(make_spec(), *range(40))
    block.run()
    ends = kinds(block)
    assert sum(end == "BackendFailed" for end in ends.values()) < 20
    assert all(len(times) == 1 for times in block.started.values())
    assert len(block.starts) < 60


def test_a_start_that_took_all_its_time_is_the_last_for_all_that_wait() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.stillborn = lambda: True
    block.never_up_again = False
    block.submit(make_spec(), *range(50))
    block.run()
    assert set(kinds(block).values()) == {"BackendFailed"}
    assert len(block.starts) == 2


def test_a_tasks_state_can_be_asked_at_any_time() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.seconds = {1: 100.0}
    asked: dict[float, list[str]] = {}

    def ask() -> None:
        asked[block.now] = [block.core.state_of(number) for number in range(4)]

    block.submit(make_spec(), 0, 1, 2)
    block.cancel(1, when=80.0)
    for when in (0.0, 2.0, 90.0):
        block.at(when, ask)
    block.run()
    assert asked == {
        0.0: ["waiting", "waiting", "waiting", "unknown"],  # the runtime starts
        2.0: ["unknown", "running", "waiting", "unknown"],
        90.0: ["unknown", "unknown", "unknown", "unknown"],
    }
