"""What the pilot does about values that tasks of its block make for each other: it counts who needs them."""

from collections.abc import Sequence

from rhapsody_parsl.errors import DataLost, InvalidTask, RhapsodyError
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.holdings import DRIVER
from rhapsody_parsl.pilot.nearness import Nearness
from rhapsody_parsl.pilot.values import Values
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.value_messages import FindValue, FreeValues, HoldValue, OfHandles, PinValue, RestValues

__all__ = ("OwnValues",)


class OwnValues:
    """The shell between the needs of tasks and what lies on the hosts.

    Args:
        core: Knows the tasks.
        values: Has what lies there.
        nodes: The block's.
    """

    def __init__(self, core: Core, values: Values, nodes: Sequence[Node]) -> None:
        self._nesting, self._family, self._values = core.nesting, core.family, values
        self._holdings = core.family.holdings
        self._nearness = Nearness(nodes, values.hosts_of)
        values.freed = self._freed

    def near(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Return tasks with the nodes that they prefer for what they take by reference."""
        return self._nearness.near(tasks)

    def hear(self, peer: Peer, message: OfHandles) -> None:
        """The process of a task says something of handles."""
        match message:
            case HoldValue():
                self._hold(peer, message)
            case FreeValues(parent=parent, given=given, deleted=deleted):
                for key in given if deleted else ():
                    self._holdings.delete(key)
                self._holdings.free(parent, given)
            case PinValue(key=key, pinned=pinned):
                self._holdings.pin(key, pinned)
            case FindValue():
                peer.send(self._found(message))
            case RestValues(name=name, values=values):
                self._holdings.rest(_checkpoint(name), values)

    def _hold(self, peer: Peer, word: HoldValue) -> None:
        try:
            self._check(word)
        except RhapsodyError as error:
            peer.send(_refusal(word.order, error))
            return
        if word.lies:
            self._values.lies(word.key, peer.host)
        if self._nesting.is_here(word.parent):
            self._holdings.hold(word.parent, word.key, word.size, word.label)
            if word.pinned:
                self._holdings.pin(word.key, pinned=True)
        else:
            self._holdings.unheld(word.key)
        if word.order:
            peer.send(ChildAnswer(word.order))

    def _check(self, word: HoldValue) -> None:
        if word.label and self._holdings.labelled(word.label):
            remedy = "Delete that one first, or take another label"
            raise InvalidTask("label", word.label, "another value of the block has it", remedy)

    def _found(self, ask: FindValue) -> ChildAnswer:
        entry = self._holdings.labelled(ask.label)
        if entry is None or not self._nesting.is_here(ask.parent):
            return _refusal(
                ask.order, DataLost(ask.label, 0, "no value that a task of this block has put has the label")
            )
        self._holdings.hold(ask.parent, entry.key, entry.size)
        return ChildAnswer(ask.order, facts=(entry.key, entry.size))

    def _freed(self, key: str, count: int | None) -> bool:
        """The driver needs a value no more, or deletes it; return whether it goes."""
        if count is None:
            self._holdings.delete(key)
        elif key in self._holdings:
            self._holdings.free(DRIVER, {key: count})
        return key not in self._holdings

    def settle(self) -> None:
        """Remove what nobody needs any more, and what processes were writing when they died."""
        if died := self._family.take_died():
            self._values.discard(died, died)
        if gone := self._holdings.take_gone():
            self._values.drop(gone)


def _checkpoint(agent: str) -> tuple[str, str]:
    return "checkpoint", agent


def _refusal(order: int, error: RhapsodyError) -> ChildAnswer:
    name, facts = to_wire(error)
    return ChildAnswer(order, error=name, facts=tuple(facts))
