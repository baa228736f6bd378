from rhapsody_parsl.pilot.times import Times
from rhapsody_parsl.wire.times import NEVER, WAITS
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation


def look(simulation: Simulation) -> None:
    assert set(simulation.core.waits()) <= set(WAITS)


def simulate(nodes: int = 1, cores: int = 1) -> Simulation:
    runtimes = {name: FakeRuntime() for name in ("local", "mpi", "vllm")}
    simulation = Simulation(make_nodes(nodes, cores=cores, gpus=1), runtimes, windows={"vllm": 2})
    for name in runtimes:
        simulation.at(0.0, lambda name=name: simulation.core.runtime_ready(name, 0.0))  # type: ignore[misc]  # bound for this turn
    for half in range(40):
        simulation.at(0.25 + half / 2, lambda: look(simulation))
    return simulation


def waited(simulation: Simulation) -> dict[int, str]:
    return {number: WAITS[times.waited] for number, times in sorted(simulation.times.items())}


def test_a_task_that_waits_is_told_from_one_that_starts_at_once() -> None:
    simulation = simulate()
    simulation.seconds = {1: 5.0}
    simulation.submit(make_spec(), 1, when=10.0)
    simulation.submit(make_spec("other"), 2, when=11.0)
    simulation.run()
    first, second = simulation.times[1], simulation.times[2]
    assert (first.accepted, first.placed) == (10.0, 10.0)
    assert second.accepted == 11.0
    assert 15.0 <= second.placed <= simulation.ended_at[2] - 1.0
    assert waited(simulation) == {1: "nothing", 2: "cores"}
    assert 0 < first.lease < second.lease


def test_the_times_are_those_of_the_try_that_ended_and_tries_are_counted() -> None:
    simulation = simulate()
    simulation.deadly = {1: 2}
    simulation.submit(make_spec(on_loss="rerun"), 1, when=10.0)
    simulation.run()
    assert simulation.times[1].tries == 2
    assert simulation.times[1].placed > simulation.times[1].accepted == 10.0


def test_what_is_scarce_is_told_by_its_name() -> None:
    simulation = simulate(nodes=2, cores=2)
    simulation.seconds = dict.fromkeys(range(10), 3.0)
    simulation.submit(make_spec(gpus=1), 1, 2, 3, when=1.0)  # two GPUs, four cores
    simulation.submit(make_spec("gang", num_ranks=4, num_nodes=2, runtime="mpi"), 4, when=10.0)
    simulation.submit(make_spec("gang", num_ranks=4, num_nodes=2, runtime="mpi"), 5, when=10.0)
    simulation.submit(make_spec("kept", memory=40), 6, 7, 8, when=20.0)  # of 64 GB each
    simulation.run()
    told = waited(simulation)
    assert (told[3], told[5]) == ("gpus", "nodes")
    assert sorted(told[number] for number in (6, 7, 8)) == ["memory", "nothing", "nothing"]


def test_who_waits_since_nodes_are_kept_for_a_gang_is_told_so() -> None:
    simulation = simulate(nodes=2, cores=2)
    simulation.seconds = {1: 12.0, 2: 0.1, 3: 1.0}
    simulation.submit(make_spec(cores=2), 1, when=1.0)
    simulation.submit(make_spec("gang", num_ranks=4, num_nodes=2, runtime="mpi"), 2, when=1.5)
    simulation.submit(make_spec("small", cores=2), 3, when=8.0)
    simulation.run()
    assert waited(simulation) == {1: "nothing", 2: "nodes", 3: "reservation"}


def test_requests_wait_for_their_service() -> None:
    simulation = simulate()
    simulation.seconds = dict.fromkeys(range(6), 2.0)
    simulation.submit(make_spec(service="s"), 1, 2, 3, when=1.0)
    simulation.run()
    assert waited(simulation) == {1: "nothing", 2: "nothing", 3: "service"}
    assert simulation.times[3].lease == 0


def test_a_runtime_that_starts_is_what_the_first_tasks_waited_for() -> None:
    simulation = Simulation(make_nodes(1, cores=1))
    simulation.submit(make_spec(), 1, when=1.0)
    simulation.run()
    assert waited(simulation) == {1: "runtime"}


def test_nothing_is_kept_when_nothing_is_recorded() -> None:
    times = Times(on=False)
    times.came(1, 1.0)
    times.ended(1)
    assert (times._of, times.take()) == ({}, [])
    times = Times()
    times.ended(1)
    assert times.take() == [NEVER]
