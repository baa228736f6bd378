"""On which node a replica stands."""

from typing import Any

import pytest

from rhapsody_parsl.in_block.context import Loan
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.service_config import CommandService, ServiceConfig
from rhapsody_parsl.services.borrowing import needs
from testing.nodes import make_node, make_nodes
from tests.unit.services.test_services import PlainKind


class Block:
    """Nodes, and services that borrow of them."""

    def __init__(self, *nodes: Any) -> None:
        self.leases = Runs(Ledger(nodes)).for_services

    def lend(self, config: ServiceConfig) -> Loan | None:
        wants = needs(PlainKind(config))
        assert wants
        return self.leases.lend(f"service {config.name}", wants, config.name)

    def places(self, count: int, **fields: Any) -> list[str]:
        config = CommandService(fields.pop("name", "s"), "x", **fields)
        loans = [self.lend(config) for _ in range(count)]
        return ["".join(part.node.name for part in loan.placed) if loan else "" for loan in loans]


def test_replicas_stand_apart_from_their_like_and_then_where_most_is_free() -> None:
    block = Block(make_node("a", 8), make_node("b", 4), make_node("c", 4))
    assert block.places(4, name="other", placement="spread") == ["a", "b", "c", "a"]
    assert block.places(3, placement="spread") == ["a", "b", "c"], "of the others only what they take counts"
    loan = block.lend(CommandService("third", "x", placement="spread"))
    assert loan
    loan.give_back()
    assert block.places(3, name="third", placement="spread") == ["a", "b", "c"]


def test_packed_ones_stand_together_until_a_node_is_full() -> None:
    block = Block(*make_nodes(2, cores=2))
    assert block.places(5, placement="pack") == ["n0", "n0", "n1", "n1", ""]


def test_a_node_with_the_label_is_preferred_and_any_other_will_do() -> None:
    block = Block(make_node("a", 8), make_node("b", 1, labels=("disk",)), make_node("c", 1, labels=("disk",)))
    assert block.places(3, near="disk", placement="spread") == ["b", "c", "a"]
    assert Block(*make_nodes(2)).places(2, near="n1", placement="pack") == ["n0", "n0"], "nobody carries it"


@pytest.mark.parametrize("placement", ["spread", "pack"])
def test_what_must_be_comes_before_what_is_preferred(placement: Any) -> None:
    block = Block(make_node("a", 4, labels=("x", "disk")), make_node("b", 4, labels=("x",)), make_node("c", 9))
    assert block.places(2, labels=("x",), near="disk", cores=4, placement=placement) == ["a", "b"]
