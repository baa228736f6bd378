"""The mailboxes of a block's agents: messages wait here for their agent, and again when its process was lost.

For the core this is one more runtime: a message is a task of its own, with no lease. So messages of the driver and of
tasks come the same way, are cancelled, counted and seen like other tasks, and answered from the block.

An agent answers in order. So the message at which its process was lost is the first that it had, and no
other has begun.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rhapsody_parsl.annotations.task_spec import MAILBOX, TaskSpec
from rhapsody_parsl.errors import AgentLost, AgentNameTaken, NoAgent
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.nesting import Nesting
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Events, Run
from rhapsody_parsl.wire.mail_messages import OpenMailbox
from rhapsody_parsl.wire.messages import Deliver, Result, Task, failed

__all__ = ("Mailboxes",)

_MOST_LOSSES = 2
"""Of the agent's process at one message, which then is not delivered again: it may be what kills it."""


class _Box:
    """The messages of one agent.

    Attributes:
        name: The agent's.
        task: The number of its task.
        peer: Its process; None while it has none.
        held: Messages that wait, by number, in order, with the number of their run.
        sent: Those that its process has.
        losses: How often the process was lost at a message.
        told: Whether it is to rest.
        rested: Whether it does: it answers no more in this block.
    """

    def __init__(self, name: str, task: int) -> None:
        self.name, self.task = name, task
        self.peer: Peer | None = None
        self.held: dict[int, tuple[int, Task]] = {}
        self.sent: dict[int, tuple[int, Task]] = {}
        self.losses: dict[int, int] = {}
        self.told = self.rested = False


class Mailboxes:
    """Those of a block; a runtime for the core.

    Args:
        events: Told what becomes of messages.
        place: Returns the file for the checkpoint of an agent, by the number of its task.

    Attributes:
        at_rest: Whether only agents were left here, and all that `leave` returns is the driver's again.
    """

    name = MAILBOX
    eager = False

    def __init__(self, events: Events, place: Callable[[int], Path]) -> None:
        self._events, self._later, self._place = events, Deferred(events), place
        self._boxes: dict[str, _Box] = {}
        self._nesting: Nesting
        self.at_rest = False

    def join(self, core: Core) -> None:
        """Be one of a core's runtimes, which need not be started."""
        self._nesting = core.nesting
        core.runtime_ready(MAILBOX, time.monotonic())

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse all but messages."""
        return "" if spec.runtime == MAILBOX and spec.service else "it takes messages to agents only"

    async def start(self) -> None:
        """Do nothing: it is always there."""

    async def stop(self) -> None:
        """Do nothing: agents end as the tasks that they are."""

    # --- messages ------------------------------------------------------------------------------------------------

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Messages have come for an agent."""
        box = self._box(run.spec.service)
        if box is None:
            why = "no agent of this name is in the block"
            self._later.done(run.id, [failed(task.id, NoAgent(run.spec.service, why)) for task in tasks])
            return
        box.held.update({task.id: (run.id, task) for task in tasks})
        self._deliver(box)

    def end(self, run: Run) -> None:
        """Do nothing: nothing works for a run."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Take back messages that wait; one that the agent has it answers, and nobody hears of it."""
        box = self._boxes.get(run.spec.service)
        taken = [task for task in tasks if box and box.held.pop(task, None)]
        if taken:
            self._later.returned(run.id, taken)

    def _box(self, name: str) -> _Box | None:
        box = self._boxes.get(name)
        if box is None and (task := self._nesting.host_of(name)):
            box = self._boxes[name] = _Box(name, task)
            self._nesting.watch(task)
        return box

    def _deliver(self, box: _Box) -> None:
        if box.peer and box.held and not box.rested:
            box.sent.update(box.held)
            box.peer.send(Deliver([task for _, task in box.held.values()]))
            box.held = {}

    # --- agents --------------------------------------------------------------------------------------------------

    def open(self, peer: Peer, ask: OpenMailbox) -> Path:
        """An agent is there; return the file for its checkpoint.

        Raises:
            AgentNameTaken: Another one has its name.
        """
        box = self._box(ask.name)
        if box is None or box.task != ask.parent:
            raise AgentNameTaken(ask.name)
        box.peer = peer
        return self._place(box.task)

    def opened(self, name: str) -> None:
        """An agent knows that it is there: it gets what has come for it."""
        if box := self._boxes.get(name):
            self._deliver(box)

    def answered(self, peer: Peer, name: str, results: Iterable[Result]) -> None:
        """An agent has answered messages."""
        box = self._boxes.get(name)
        if box is None or box.peer != peer:
            return
        for result in results:
            if known := box.sent.pop(result.id, None):
                box.losses.pop(result.id, None)
                self._nesting.proven(box.task)
                self._events.done(known[0], [result])

    def over(self, tasks: Iterable[int]) -> None:
        """Tasks of agents have ended, or are to start anew."""
        for task in tasks:
            if box := next((box for box in self._boxes.values() if box.task == task), None):
                if self._nesting.is_here(task):
                    self._restart(box)
                else:
                    self._close(box)

    def _restart(self, box: _Box) -> None:
        """Keep for the next process what the last one has not answered, but not what it may have died of."""
        box.peer, box.told, box.rested = None, False, False
        first = next(iter(box.sent), 0)
        box.held, box.sent = {**box.sent, **box.held}, {}
        self._nesting.watch(box.task)
        if not first:
            return
        losses = box.losses[first] = box.losses.get(first, 0) + 1
        if losses >= _MOST_LOSSES or self._nesting.fails_unanswered(box.task):
            run, _ = box.held.pop(first)
            box.losses.pop(first)
            self._events.done(run, [failed(first, AgentLost(box.name, losses))])

    def _close(self, box: _Box) -> None:
        del self._boxes[box.name]
        for number, (run, _) in {**box.sent, **box.held}.items():
            self._events.done(run, [failed(number, NoAgent(box.name, "it has ended"))])

    # --- the end of the block ------------------------------------------------------------------------------------

    def leave(self) -> list[int]:
        """The block takes no more tasks: once only agents and their messages are left, have the agents rest.

        Returns:
            The tasks that are the driver's again, to go on in another block; none before all agents rest.
        """
        if self.at_rest or not self._boxes:
            return []
        boxes, left = self._boxes.values(), self._nesting.tasks()
        of_agents = {task for box in boxes for task in (box.task, *box.sent, *box.held)}
        if not of_agents.issuperset(left):
            return []
        for box in boxes:
            if box.peer and not box.told:
                box.told = True
                box.peer.send(Deliver([], rest=True))
        self.at_rest = all(box.rested for box in boxes)
        return list(filter(self._nesting.is_the_drivers, left)) if self.at_rest else []

    def rested(self, peer: Peer, name: str) -> None:
        """An agent rests."""
        if (box := self._boxes.get(name)) and box.peer == peer:
            box.rested = True
