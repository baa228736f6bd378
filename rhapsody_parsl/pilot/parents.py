"""What the processes of tasks ask about tasks of their own, and what they are answered."""

import time

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.mailboxes import Mailboxes
from rhapsody_parsl.pilot.own_values import OwnValues
from rhapsody_parsl.pilot.streams import Streams
from rhapsody_parsl.pilot.turns import Turns
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.mail_messages import OpenMailbox, Rested
from rhapsody_parsl.wire.messages import Answered, ChildrenEnded, FromParent, SubmitChildren
from rhapsody_parsl.wire.piece_messages import ChildMore
from rhapsody_parsl.wire.shared_memory import check_shared, discard
from rhapsody_parsl.wire.turn_messages import LendCores, TakeCores

__all__ = ("Parents",)


class Parents:
    """The shell between the core and tasks that submit tasks.

    Args:
        core: Decides.
        streams: What such tasks give and their readers say passes through these.
        mail: Has the messages for agents.
        turns: Has the tasks that lend their cores.
        values: Has what they make for each other.
    """

    def __init__(self, core: Core, streams: Streams, mail: Mailboxes, turns: Turns, *, values: OwnValues) -> None:
        self._core, self._streams, self._mail, self._turns, self._values = core, streams, mail, turns, values
        mail.join(core)
        turns.join(core)

    def receive(self, peer: Peer, message: FromParent) -> None:
        """A process says something about tasks of its own.

        Raises:
            MalformedFrame: A payload lies where none may.
        """
        now = time.monotonic()
        match message:
            case SubmitChildren():
                self._submit(peer, message, now)
            case CancelChildren(tasks=numbers):
                self._core.cancel(self._core.family.drop(peer, numbers), now)
            case AskChild():
                peer.send(self._answer(message, now))
            case ChildMore():
                self._streams.child_more(peer, message)
            case LendCores(parent=parent):
                self._turns.lend(parent)
            case TakeCores():
                self._turns.take(peer, message)
            case OpenMailbox() | Answered() | Rested():
                self._hear_agent(peer, message)
            case _:
                self._values.hear(peer, message)

    def _submit(self, peer: Peer, message: SubmitChildren, now: float) -> None:
        """A task submits others; those of which it has heard past us end first: what they held is for these."""
        check_shared(message.tasks, "")
        for result in self._core.nesting.heard(peer, message.heard):
            self._core.done(result.told, [result], now)
        self._core.adopt(message.parent, peer, self._values.near(message.tasks), message.keep, now=now)

    def _hear_agent(self, peer: Peer, message: OpenMailbox | Answered | Rested) -> None:
        match message:
            case OpenMailbox(name=name, order=order):
                try:
                    place = self._mail.open(peer, message)
                except RhapsodyError as error:
                    peer.send(_refusal(order, error))
                    return
                peer.send(ChildAnswer(order, facts=(str(place),)))
                self._mail.opened(name)
            case Answered(name=name, results=results):
                self._mail.answered(peer, name, results)
            case Rested(name=name):
                self._mail.rested(peer, name)

    def _answer(self, ask: AskChild, now: float) -> ChildAnswer:
        try:
            spec = self._core.nesting.admit(ask.parent, ask.spec, ask.keep, now)
        except RhapsodyError as error:
            return _refusal(ask.order, error)
        nesting = self._core.nesting
        return ChildAnswer(ask.order, spec, nesting.limits.children, lends=nesting.lends(ask.parent))

    def tell(self) -> None:
        """Tell processes what has ended, and remove what nobody reads."""
        family = self._core.family
        self._streams.go_on(family.take_released())
        for peer, results in family.take_answers().items():
            if isinstance(peer, Peer):
                peer.send(ChildrenEnded(results))
        for result in family.take_unread():
            discard(result)
        self._values.settle()


def _refusal(order: int, error: RhapsodyError) -> ChildAnswer:
    name, facts = to_wire(error)
    return ChildAnswer(order, error=name, facts=tuple(facts))
