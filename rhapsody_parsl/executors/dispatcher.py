"""Which block gets which task, and what becomes of the tasks of a lost block: events in, instructions out, no I/O.

The link calls a method for each event and then does what `take()` returns. Times are the caller's, of any one clock.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping

from rhapsody_parsl.annotations.reruns import Reruns
from rhapsody_parsl.annotations.task_spec import MAILBOX, TaskSpec
from rhapsody_parsl.errors import BlockExpired, BlockLost, NoAgent, RhapsodyError
from rhapsody_parsl.executors.admission import InvalidSpecification, time_misfit
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.instructions import (
    Came,
    Cut,
    Discard,
    Ended,
    Failed,
    Give,
    Instruction,
    Joined,
    Left,
    Send,
    Stranger,
)
from rhapsody_parsl.executors.later import MOST_IDLE_RETURNS, Later
from rhapsody_parsl.executors.mailbag import Mailbag, take_out
from rhapsody_parsl.executors.peers import mismatch
from rhapsody_parsl.executors.questions import Questions
from rhapsody_parsl.executors.service_orders import ServiceOrders
from rhapsody_parsl.executors.specs import Specs
from rhapsody_parsl.record.entries import TaskEntry
from rhapsody_parsl.wire.door import DoorRequests
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.messages import (
    Cancel,
    FromCore,
    Goodbye,
    Hello,
    Holds,
    Report,
    Result,
    Results,
    Returned,
    Serve,
    Served,
    Stop,
    Task,
)
from rhapsody_parsl.wire.piece_messages import More, Pieces
from rhapsody_parsl.wire.states import Outcome
from rhapsody_parsl.wire.times import NEVER
from rhapsody_parsl.wire.use import Used

__all__ = ("Dispatcher",)

_BATCH = 512


class Dispatcher:
    """State machine over the blocks of an executor and the tasks that wait for one.

    Args:
        blocks: Those it will know; only it changes them.
        threshold: Seconds of silence after which a block counts as lost.
        clock: Seconds since the epoch: blocks say by these when they end.

    Attributes:
        orders: About services.
        questions: To pilots, of people.
    """

    def __init__(self, blocks: Blocks, threshold: float, clock: Callable[[], float] = time.time) -> None:
        self.blocks, self._threshold, self._clock = blocks, threshold, clock
        self.orders, self.questions = ServiceOrders(blocks), Questions(blocks)
        self._spec_of = Specs().of
        self._waiting: deque[Task] = deque()
        self._later, self._mail = Later(), Mailbag()
        self._reruns = Reruns()
        self._gone: set[str] = set()
        self._out: list[Instruction] = []

    def take(self) -> list[Instruction]:
        """Return the instructions since the last call, in order."""
        out, self._out = self._out, []
        return out

    # --- tasks ---------------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """A task came; `give_out` gives it to a block."""
        self._waiting.append(task)

    def give_out(self) -> None:
        """Give waiting tasks to blocks, in order, in batches; what no block can take now waits on."""
        if not self._waiting or (len(self._waiting) > 1 and not self.blocks.have_room()):
            return  # one that comes alone is asked for below
        batches: dict[str, list[Task]] = {}
        full: set[Hashable] = set()
        kept: list[Task] = []
        now = self._clock()
        while self._waiting and len(kept) <= _BATCH:
            task = self._waiting.popleft()
            spec = self._spec_of(task)
            if spec.runtime == MAILBOX:
                self._give_message(spec.service, task, batches)
            elif not self._give(task, spec, batches, full=full, now=now):
                kept.append(task)
        self._waiting.extendleft(reversed(kept))
        for id_, tasks in batches.items():
            if block := self.blocks.get(id_):
                self._out += [Give(block, tasks[start : start + _BATCH]) for start in range(0, len(tasks), _BATCH)]

    def _give(
        self, task: Task, spec: TaskSpec, batches: dict[str, list[Task]], *, full: set[Hashable], now: float
    ) -> bool:
        """Give a task to a block; False when none can take it now."""
        needs = spec.resources, spec.policy.labels, spec.policy.walltime
        block = None if full and needs in full else self.blocks.choose(spec, now)
        if block is not None:
            block.give(task)
            batches.setdefault(block.id, []).append(task)
            if spec.mailbox:
                self._waiting.extendleft(reversed(self._mail.placed(spec.mailbox, block.id)))
        elif spec.policy.walltime and self.blocks.have_too_little_time(spec.policy.walltime, now):
            self._later.put(task)
        else:
            full.add(needs)
            return False
        return True

    def _give_message(self, agent: str, task: Task, batches: dict[str, list[Task]]) -> None:
        """Give a message to the block that has its agent; until one has, it waits."""
        if block := self.blocks.get(self._mail.where(agent)):
            block.give(task)
            batches.setdefault(block.id, []).append(task)
        elif not self._mail.hold(agent, task):
            self._refuse(task, NoAgent(agent, "it has ended"))

    def agent_over(self, agent: str) -> None:
        """An agent has ended: what waits for it fails."""
        for task in self._mail.over(agent):
            self._refuse(task, NoAgent(agent, "it has ended"))

    def cancel(self, task: int, now: float) -> None:
        """Nobody wants a task any more, wherever it is."""
        for block in self.blocks:
            if (taken := block.take(task, now)) is not None:
                self._over(block.id, taken, "cancelled")
                self._out += [Discard([taken]), Send(block, Cancel([task]))]
                break
        else:
            if item := self._later.take(task) or self._mail.take(task) or take_out(self._waiting, task):
                self._out.append(Discard([item]))  # its payload may lie where a block that returned it had it from
                self._over("", item, "cancelled")
        self._forget(task)

    def say(self, more: More) -> None:
        """Tell a task's process what was taken of its stream, wherever it is."""
        if block := next((block for block in self.blocks if more.task in block.tasks), None):
            self._out.append(Send(block, more))

    def _over(self, block: str, task: Task, outcome: Outcome, error: RhapsodyError | None = None) -> None:
        """A task has ended with no result."""
        self._count(task, outcome)
        self.blocks.record.gone(block, task, outcome, error)

    def _count(self, task: Task, outcome: Outcome) -> None:
        """A task has ended: it is in no block and waits no more."""
        spec = self._spec_of(task)
        self.blocks.tally.note(outcome, spec.runtime, spec.service, app=spec.name)

    # --- what pilots say -----------------------------------------------------------------------------------------

    def heard(self, peer: str, local: bool, now: float) -> Block | None:
        """Return the block that a pilot speaks for; its number stays with the first that took it, while that lives.

        Args:
            peer: The pilot's name: the block's number, and which of those that were started under it.
            local: Whether it came over a Unix socket.
            now: The time.
        """
        if peer in self._gone:
            return None  # it was given up; hearing nothing, it leaves by itself
        number = peer.partition("/")[0]
        block = self.blocks.get(number)
        if block is not None and block.peer != peer:
            if not block.cut:
                self._out.append(Stranger(number))
                return None
            self._lose(block, "its pilot was started again", "")
            block = None
        if block is None:
            block = Block(number, now, local, peer)
            self.blocks.add(block)
        block.heard, block.cut = now, False
        return block

    def receive(self, block: Block, message: FromCore) -> None:
        """A block's pilot said something."""
        match message:
            case Results():
                self._end(block, message)
            case Returned(tasks=tasks):
                self._take_back(block, [taken for task in tasks if (taken := block.take(task, block.heard))])
            case Pieces(pieces=pieces):
                self._out.append(Came([piece for piece in pieces if piece.id in block.tasks]))
            case Hello():
                self._welcome(block, message)
            case Served() | Examined():
                self._note_answer(block, message)
            case Report() | Holds() | Used() | DoorRequests():
                self.blocks.note(block, message)
            case Goodbye(reason=reason, begun=begun):
                self._lose(block, reason, "", frozenset(begun))

    def _note_answer(self, block: Block, message: Served | Examined) -> None:
        if isinstance(message, Served):
            self.orders.answered(block, message)
        else:
            self.questions.answered(block, message)

    def _take_back(self, block: Block, tasks: list[Task]) -> None:
        """A block has not begun these: it was told to leave, or would end before they do."""
        for task in reversed([*tasks, *self._mail.follow(block, tasks, self._spec_of)]):
            walltime = self._spec_of(task).policy.walltime
            if block.closing or not walltime or self._later.returned(block, task, walltime):
                self._waiting.appendleft(task)
            else:
                self._refuse(task, _never_in_time(walltime))

    def _refuse(self, task: Task, error: RhapsodyError) -> None:
        """A task that waits can never run."""
        self._forget(task.id)
        self._over("", task, "failed", error)
        self._out += [Discard([task]), Failed(task.id, error)]

    def _forget(self, task: int) -> None:
        self._reruns.forget(task)
        self._later.forget(task)

    def _end(self, block: Block, said: Results) -> None:
        ended, over, record = list[Result](), list[Task | Result](), self.blocks.record
        noted: list[TaskEntry] = []
        for place, result in enumerate(said.results):
            if (task := block.take(result.id, block.heard)) is not None:
                ended.append(result)
                self._count(task, result.outcome)
                self._forget(result.id)
                over.append(task)
                if record.on:
                    noted.append(record.entry(task, result, said.times[place] if said.times else NEVER))
            over.append(result)
        for lease in said.leases:
            block.leases.pop(lease.lease, None)
        block.served += len(said.results)
        record.ended(block.id, noted, said.leases, said.clocks)
        self._out += [Ended(ended), Discard(over)]

    def _welcome(self, block: Block, hello: Hello) -> None:
        if misfit := mismatch(hello):
            self.blocks.refused[block.id] = str(misfit)
            self._dismiss(block, drain=False)
            return
        self.blocks.joined(block, hello.inventory, block.heard)
        self._out += [Joined(block), *self.orders.joined(block)]
        self._waiting.extendleft(reversed(self._later.take_all()))
        self._refuse_too_long()

    def _refuse_too_long(self) -> None:
        """Refuse what waits and takes longer than any block that is there had when it came: the next is no longer."""
        longest = max(self.blocks.inventories(), key=lambda each: math.inf if each.lasts is None else each.lasts)
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            if misfit := time_misfit(self._spec_of(task), longest):
                self._refuse(task, InvalidSpecification(*misfit))
            else:
                self._waiting.append(task)

    def order(self, name: str, order: Serve) -> None:
        """All blocks are to be told of a service, those that come too."""
        self._out += self.orders.give(name, order)

    def examine(self, question: Examine) -> None:
        """All blocks are to say what waits in them, and why."""
        self._out += self.questions.ask(question)

    def waiting(self) -> list[Task]:
        """Return the tasks that wait for a block."""
        return [*self._waiting, *self._later.tasks, *self._mail.tasks]

    # --- connections ---------------------------------------------------------------------------------------------

    def cut(self, block: Block) -> None:
        """A block's connection has ended, or takes nothing."""
        if not block.cut:
            block.cut = True
            self._out.append(Cut(block))

    def moved(self, block: Block, task: Task) -> None:
        """A task of a block has its payload elsewhere now."""
        block.tasks[task.id] = task

    def look(self, now: float) -> None:
        """Time passed: a block that was silent for too long is lost."""
        for block in self.blocks:
            if now - block.heard > self._threshold:
                self._lose(block, f"its pilot was silent for {self._threshold:g} s", "")

    # --- ends ----------------------------------------------------------------------------------------------------

    def retire(
        self, launched: Mapping[str, float], count: int, max_idletime: float | None, now: float
    ) -> dict[str, bool]:
        """Tell blocks to leave; see `Link.retire`."""
        chosen: dict[str, bool] = {}
        for id_ in self.blocks.to_end(launched, count, max_idletime, now):
            block = self.blocks.get(id_)
            chosen[id_] = bool(block and (block.tasks or block.visitors))
            if block:
                self._dismiss(block, drain=chosen[id_])
        return chosen

    def drain_old(self, now: float) -> list[Block]:
        """Tell blocks that have reached their drain period to leave; return them."""
        old = self.blocks.due(now)
        for block in old:
            self._dismiss(block, drain=True)
        return old

    def drain(self, ids: Iterable[str]) -> None:
        """Tell blocks to leave when they have finished what they have begun."""
        for block in filter(None, map(self.blocks.get, ids)):
            if not block.closing:
                self._dismiss(block, drain=True)

    def stop(self, ids: Iterable[str]) -> None:
        """Tell blocks to leave at once."""
        for block in filter(None, map(self.blocks.get, ids)):
            self._dismiss(block, drain=False)

    def lose(self, id_: str, reason: str, log: str) -> None:
        """A block is known to be gone.

        Args:
            id_: Its number.
            reason: Why.
            log: The end of its output.
        """
        if block := self.blocks.get(id_):
            self._lose(block, reason, log)

    def _dismiss(self, block: Block, drain: bool) -> None:
        block.closing = True
        self._out.append(Send(block, Stop(drain)))

    def _lose(self, block: Block, reason: str, log: str, begun: frozenset[int] | None = None) -> None:
        """What may have begun in the block fails, or waits for another one when its policy says so."""
        self.blocks.remove(block, reason)
        self.orders.left(block)
        self.questions.left(block)
        self._gone.add(block.peer)
        block.lost = begun is None
        self._out.append(Left(block, reason))
        expired = block.is_over(self._clock())
        error = (BlockExpired if expired else BlockLost)(block.id, reason, log)
        for task in block.tasks.values():
            if begun is not None and task.id not in begun:
                self._waiting.append(task)
            elif self._runs_again(task, expired):
                self.blocks.record.again(task.id)
                self._waiting.append(task)
            else:
                self._forget(task.id)
                self._over(block.id, task, "lost", error)
                self._out += [Discard([task]), Failed(task.id, error)]

    def _runs_again(self, task: Task, expired: bool) -> bool:
        """Whether a task that may have begun runs again; one that is told of each end in time, after each end."""
        policy = self._spec_of(task).policy
        if expired and policy.signal and policy.on_loss == "rerun":
            return True
        return self._reruns.allow(task.id, policy)


def _never_in_time(walltime: float) -> InvalidSpecification:
    problem = f"{MOST_IDLE_RETURNS} blocks had not so much time left when it could start, though they did nothing else"
    return InvalidSpecification("walltime", walltime, problem, "Raise the provider's walltime, or lower this one")
