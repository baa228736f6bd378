"""Gangs of which only some ranks have GPUs: each node gives what its own ranks use, and no more."""

from itertools import combinations_with_replacement, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.annotations.groups import with_gpus
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.scheduler import can_ever_fit, place
from rhapsody_parsl.runtimes.protocol import Node
from testing.nodes import make_node, make_spec
from testing.simulation import FakeRuntime, Simulation, kinds

sizes = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=3)
blocks = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=3)


def gang(*groups: tuple[int, bool], **keys: Any) -> Any:
    said = [{"ranks": ranks, "gpus": gpus} for ranks, gpus in groups]
    return make_spec(**{"groups": said, "gpus_per_rank": 1, **keys})


def nodes_of(block: list[tuple[int, int]]) -> list[Node]:
    return [make_node(f"n{number}", cores, gpus) for number, (cores, gpus) in enumerate(block)]


def test_a_group_without_gpus_holds_none() -> None:
    ledger = Ledger(nodes_of([(4, 1)]))
    placing = place(gang((3, False), (1, True)), ledger)
    assert placing is not None
    lease = ledger.acquire("gang", placing)
    assert lease is not None
    assert [len(share.gpus) for share in lease.shares] == [1]
    assert place(gang((2, True)), Ledger(nodes_of([(4, 1)]))) is None


def test_all_without_gpus_hold_none() -> None:
    placing = place(gang((2, False)), Ledger(nodes_of([(4, 0)])))
    assert placing is not None
    assert [part.gpus for _, part in placing] == [0]


@pytest.mark.parametrize(("keys", "expected"), [
    ({"num_nodes": 2}, [("n0", 2, 0), ("n2", 2, 2)]),
    ({"placement": "spread"}, [("n0", 2, 0), ("n1", 1, 1), ("n2", 1, 1)]),
    ({"gpus_per_rank": 0.5}, [("n0", 3, 0.5), ("n2", 1, 0.5)]),
    ({"placement": "exclusive", "num_nodes": 2}, [("n0", 2, 1), ("n2", 2, 2)]),
])  # fmt: skip
def test_ranks_go_to_nodes_in_their_order(keys: dict[str, Any], expected: list[tuple[str, int, float]]) -> None:
    block = [(3, 1), (3, 0), (2, 2)] if keys.get("gpus_per_rank") else [(2, 1), (2, 1), (2, 2)]
    placing = place(gang((2, False), (2, True), **keys), Ledger(nodes_of(block)))
    assert placing is not None
    assert [(name, part.ranks, part.gpus) for name, part in placing] == expected


@given(sizes, blocks)
def test_a_place_is_found_where_there_is_one(groups: list[tuple[int, bool]], block: list[tuple[int, int]]) -> None:
    spec, nodes = gang(*groups), nodes_of(block)
    placing = place(spec, Ledger(nodes))
    total = spec.resources.num_ranks
    assert (placing is not None) == exists(spec.resources, block, total)
    if placing is not None:
        assert sum(part.ranks for _, part in placing) == total
        assert sum(part.gpus for _, part in placing) == sum(ranks for ranks, gpus in groups if gpus)
        assert Ledger(nodes).acquire("gang", placing) is not None
        assert can_ever_fit(spec, Ledger(nodes))


def exists(resources: Resources, block: list[tuple[int, int]], total: int) -> bool:
    """Try each way to cut the ranks, in their order, into parts for the nodes in theirs."""
    for cuts in combinations_with_replacement(range(total + 1), len(block) - 1):
        edges = [0, *cuts, total]
        parts = [with_gpus(resources.groups, a, b - a) for a, b in pairwise(edges)]
        if all(len(part) <= cores and sum(part) <= gpus for part, (cores, gpus) in zip(parts, block, strict=True)):
            return True
    return False


def test_they_wait_their_turn_as_others_do() -> None:
    block = Simulation(nodes_of([(4, 2)]), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.submit(gang((1, False), (2, True)), 0, 1, 2)
    block.submit(make_spec(cores=1), 3, 4, 5)
    block.submit(make_spec(cores=3), 6, when=0.5)
    block.run()
    assert set(kinds(block).values()) == {"ok"}
    assert len(block.ended) == 7
    assert block.core.ledger.leases == []
