"""What the processes of tasks ask about tasks of their own, and what they are answered."""

import time

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.streams import Streams
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import ChildrenEnded, FromParent, SubmitChildren
from rhapsody_parsl.wire.piece_messages import ChildMore
from rhapsody_parsl.wire.shared_memory import check_shared, discard

__all__ = ("Parents",)


class Parents:
    """The shell between the core and tasks that submit tasks.

    Args:
        core: Decides.
        streams: What such tasks give and their readers say passes through these.
    """

    def __init__(self, core: Core, streams: Streams) -> None:
        self._core, self._streams = core, streams

    def receive(self, peer: Peer, message: FromParent) -> None:
        """A process says something about tasks of its own.

        Raises:
            MalformedFrame: A payload lies where none may.
        """
        now = time.monotonic()
        match message:
            case SubmitChildren(parent=parent, tasks=tasks, keep=keep):
                check_shared(tasks, "")
                self._core.adopt(parent, peer, tasks, keep, now=now)
            case CancelChildren(tasks=numbers):
                self._core.cancel(self._core.family.drop(peer, numbers), now)
            case AskChild():
                peer.send(self._answer(message, now))
            case ChildMore():
                self._streams.child_more(peer, message)

    def _answer(self, ask: AskChild, now: float) -> ChildAnswer:
        try:
            spec = self._core.nesting.admit(ask.parent, ask.spec, ask.keep, now)
        except RhapsodyError as error:
            name, facts = to_wire(error)
            return ChildAnswer(ask.order, error=name, facts=tuple(facts))
        return ChildAnswer(ask.order, spec, self._core.nesting.limits.children)

    def tell(self) -> None:
        """Tell processes what has ended, and remove what nobody reads."""
        family = self._core.family
        self._streams.go_on(family.take_released())
        for peer, results in family.take_answers().items():
            if isinstance(peer, Peer):
                peer.send(ChildrenEnded(results))
        for result in family.take_unread():
            discard(result)
