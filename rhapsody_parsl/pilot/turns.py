"""Tasks that lend their cores while they wait for tasks of their own, and take their turn to have some again.

For the core a turn is one more task, of the waiting one: it asks for as many cores of the same node, waits with all
others, and holds a lease of its own. It ends when the task that it is for waits again, or ends.
"""

import time
from collections.abc import Sequence
from typing import cast

from rhapsody_parsl.annotations.task_spec import TURN, TaskSpec, encode_spec
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Events, Run
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from rhapsody_parsl.wire.turn_messages import TakeCores

__all__ = ("Turns",)

_LONG = 60.0
"""Seconds that a turn is said to have taken: none is to be put behind another, for each needs a lease of its own."""


class Turns:
    """Those of a block; a runtime for the core.

    Args:
        events: Told when turns end.
    """

    name = TURN
    eager = False

    def __init__(self, events: Events) -> None:
        self._events, self._later = events, Deferred(events)
        self._taken: dict[int, int] = {}  # by the task: its turn
        self._at_work: dict[int, int] = {}  # by the turn: its run
        self._core: Core

    def join(self, core: Core) -> None:
        """Be one of a core's runtimes, which need not be started."""
        self._core = core
        core.runtime_ready(TURN, time.monotonic())

    # --- what tasks say ------------------------------------------------------------------------------------------

    def lend(self, parent: int) -> None:
        """A task waits: others may have its cores."""
        if turn := self._taken.pop(parent, 0):
            self._events.done(self._at_work.pop(turn), [_over(turn)])
        elif self._core.nesting.lend_cores(parent):
            self._core.room_changed(time.monotonic())

    def take(self, peer: Peer, ask: TakeCores) -> None:
        """A task goes on: it is answered in its turn."""
        wants = self._core.nesting.turn_of(ask.parent)
        if wants is None or ask.parent in self._taken:
            peer.send(ChildAnswer(ask.order))
            return
        (turn,) = self._core.family.adopt(ask.parent, peer, [Task(ask.order, encode_spec(wants), b"")], keep=False)
        self._core.submit([turn], time.monotonic())

    # --- a runtime -----------------------------------------------------------------------------------------------

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse all but turns."""
        return "" if spec.runtime == TURN else "it takes turns of waiting tasks only"

    async def start(self) -> None:
        """Do nothing: it is always there."""

    async def stop(self) -> None:
        """Do nothing."""

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """It is the turn of a task; what is put behind it is given back."""
        first, *behind = tasks
        self._at_work[first.id] = run.id
        if known := self._core.family.asker(first.id):
            parent, peer, order = known
            self._taken[parent] = first.id
            cast(Peer, peer).send(ChildAnswer(order, facts=run.placed[0].real_cores))
        if behind:
            self._later.returned(run.id, [task.id for task in behind])

    def end(self, run: Run) -> None:
        """Do nothing."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """A task has ended with its turn."""
        for turn in tasks if kill else ():
            if self._at_work.pop(turn, None):
                self._taken = {parent: taken for parent, taken in self._taken.items() if taken != turn}
                self._later.done(run.id, [_over(turn)])


def _over(turn: int) -> Result:
    return Result(turn, RESULT, b"", seconds=_LONG)
