"""Which agents speak to the pilot by others, and how many connections that leaves."""

import pytest

from rhapsody_parsl.agents.tree import STAR, VARIABLE, Tree
from rhapsody_parsl.hosts import descriptors


def hosts(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


@pytest.mark.parametrize(("count", "said"), [(256, ""), (1000, "0"), (1000, "1"), (2, "3"), (3, "many"), (0, "2")])
def test_a_star_has_a_connection_for_each(count: int, said: str) -> None:
    assert Tree.of(hosts(count), {VARIABLE: said}) == STAR
    assert STAR.connections(count) == count


def test_each_has_a_neighbour_for_its_gateway() -> None:
    tree = Tree.of(hosts(7), {VARIABLE: "3"})
    assert [tree.gateways[host] for host in hosts(7)] == ["n0", "n0", "n0", "n3", "n3", "n3", "n6"]
    assert tree.connections(7) == 7, "two gateways may be lost"


def test_nine_thousand_hosts_fit_into_a_small_hard_limit() -> None:
    tree = Tree.of(hosts(9400), {})
    assert set(tree.gateways) == set(hosts(9400))
    assert len(set(tree.gateways.values())) == 147
    assert descriptors.of_pilot(tree.connections(9400), 64, 1) < 500
