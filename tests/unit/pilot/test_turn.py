import pytest

from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation


@pytest.mark.parametrize(("priority", "first"), [(0, "gang"), (-1, "others")])
def test_a_gang_follows_a_gang_unless_the_others_are_older_by_more_than_a_task_takes(priority: int, first: str) -> None:
    block = Simulation(make_nodes(2, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.seconds = {0: 20.0, 1: 20.0} | dict.fromkeys(range(10, 14), 20.0)
    block.submit(make_spec(runtime="mpi", num_nodes=2), 0)
    block.submit(make_spec("other", priority=priority), *range(10, 14), when=18.0)
    block.submit(make_spec("next", runtime="mpi", num_nodes=2), 1, when=19.0)
    block.run()
    assert (block.started[1][0] < block.started[10][0]) is (first == "gang")


def test_where_there_is_room_for_many_each_claim_has_its_turn() -> None:
    block = Simulation(make_nodes(1, cores=4))
    for name, priority, numbers in (("a", 0, [0]), ("a", 9, [1, 2, 3, 4]), ("b", 5, [10, 11, 12, 13])):
        block.submit(make_spec(name, priority=priority), *numbers)
    block.run()
    order = sorted(block.started, key=lambda number: block.started[number])
    assert order[:5] == [0, 10, 11, 12, 13], "the first of an app does not take the others along"
