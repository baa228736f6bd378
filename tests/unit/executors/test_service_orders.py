from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.service_orders import ServiceOrders
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import Serve, Served
from testing.nodes import make_inventory


def joined(blocks: Blocks, number: str) -> Block:
    block = Block(number, 0.0)
    block.inventory = make_inventory()
    blocks.add(block)
    return block


def test_an_order_goes_to_all_blocks_and_its_last_state_to_those_that_come() -> None:
    blocks = Blocks(several=True)
    one, two = joined(blocks, "0"), joined(blocks, "1")
    blocks.add(Block("2", 0.0))  # has not said hello
    orders = ServiceOrders(blocks)
    assert [send.block for send in orders.give("a", Serve(1, b"a1", renew=True))] == [one, two]
    orders.give("a", Serve(2, b"a2"))
    orders.give("b", Serve(3, b"b"))
    assert [send.message for send in orders.joined(joined(blocks, "3"))] == [Serve(0, b"a2"), Serve(0, b"b")]


def test_an_order_is_answered_when_all_have_answered_or_are_gone() -> None:
    blocks = Blocks(several=True)
    one, two, three = (joined(blocks, number) for number in "012")
    orders = ServiceOrders(blocks)
    orders.give("a", Serve(1, b""))
    orders.answered(one, Served(1))
    orders.answered(two, Served(1, *to_wire(ServiceFailed("a", "no room"))))
    orders.answered(two, Served(1, *to_wire(ServiceFailed("a", "again"))))
    orders.answered(one, Served(7, *to_wire(ServiceFailed("a", "nobody asked"))))
    assert not orders.is_answered(1)
    orders.left(three)
    assert orders.is_answered(1)
    assert [error.args for error in orders.take(1)] == [("a", "no room", "")]
    assert orders.take(1) == []
