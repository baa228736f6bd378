"""What blocks are told of services after the executor has started, and what they answer: no I/O."""

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.instructions import Send
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import Serve, Served

__all__ = ("ServiceOrders",)


class ServiceOrders:
    """The orders about services: each goes to all blocks, and its last state to each block that comes later.

    Args:
        blocks: Those that are there.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._last: dict[str, Serve] = {}
        self._asked: dict[int, set[str]] = {}
        self._refusals: dict[int, list[RhapsodyError]] = {}

    def give(self, name: str, order: Serve) -> list[Send]:
        """Return what is to be told to whom.

        Args:
            name: The service's.
            order: Has a number of its own.
        """
        there = [block for block in self._blocks if block.inventory and not block.closing]
        self._last[name] = Serve(0, order.service)
        self._asked[order.order] = {block.id for block in there}
        self._refusals[order.order] = []
        return [Send(block, order) for block in there]

    def joined(self, block: Block) -> list[Send]:
        """Return what a block is told that has come."""
        return [Send(block, order) for order in self._last.values()]

    def answered(self, block: Block, answer: Served) -> None:
        """A block has taken an order in, or refuses it."""
        if block.id not in self._asked.get(answer.order, ()):
            return
        self._asked[answer.order].discard(block.id)
        if answer.error:
            self._refusals[answer.order].append(from_wire(answer.error, answer.facts))

    def left(self, block: Block) -> None:
        """A block is gone, and answers nothing more."""
        for asked in self._asked.values():
            asked.discard(block.id)

    def is_answered(self, order: int) -> bool:
        """Whether all blocks have answered that were told, or are gone."""
        return not self._asked.get(order)

    def take(self, order: int) -> list[RhapsodyError]:
        """Forget an order; return why blocks refused it."""
        self._asked.pop(order, None)
        return self._refusals.pop(order, [])
