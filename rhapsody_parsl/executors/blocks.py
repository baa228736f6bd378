"""The blocks the driver knows, the tasks each holds, and which block gets the next one."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence, Sized

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.executors.admission import misfit
from rhapsody_parsl.executors.at_the_door import AtTheDoor
from rhapsody_parsl.record.recorder import Recorder
from rhapsody_parsl.wire.door import DoorRequest, DoorRequests
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Holds, Report, Task
from rhapsody_parsl.wire.reports import BlockReport, Inventory
from rhapsody_parsl.wire.session import Session
from rhapsody_parsl.wire.totals import ExecutorTotals, Tally
from rhapsody_parsl.wire.use import NodeUse, Used

__all__ = ("Block", "Blocks")

_WINDOW_PER_CORE = 64
_SMALLEST_WINDOW = 256
_MOST_BYTES = 256 * 1024 * 1024
_BEFORE, _ABOUT = 60.0, 10.0
"""Seconds before the end of a long job: until then it takes tasks; from then on it counts as ended by its time."""
_NO_CLOCKS = (0.0, 0.0)
_LEAST_PART = 0.05
"""Of a job's time, for a short one."""


class Block:
    """A pilot that said hello.

    Attributes:
        id: The block's number.
        peer: The pilot's name on the link: the number, and which of those that were started under it.
        session: The numbered conversation with it.
        inventory: What it holds, as its `Hello` said; None before that.
        tasks: Tasks it has and has not ended, oldest first.
        bytes: Size of their payloads, wherever they lie.
        report: How it was when it last said; nothing has happened there before it did.
        leases: Those that were out then and have not ended since, by number.
        coming: The same of a report of which parts are still to come.
        use: How much its nodes worked when they last said, by name.
        door: The requests at its front door.
        began: Monotonic time of its first word.
        heard: Monotonic time of its last word.
        idle_since: Monotonic time at which its last task ended, its front door was last asked, or of its first word.
        served: How many tasks it has ended.
        visitors: The connections of clients of its models that lead there.
        drain_at: Monotonic time at which it gets no more tasks, and leaves when those it has begun have ended.
        too_long: The least walltime for which it had no time left, when it had handed the task back.
        closing: Whether it gets no more tasks.
        cut: Whether its connection is down.
        lost: Whether it is gone without a goodbye.
        local: Whether it speaks to us over a Unix socket.
    """

    def __init__(self, id: str, now: float, local: bool = False, peer: str = "") -> None:  # noqa: A002 - the field's name
        self.id, self.peer = id, peer or id
        self.local = local
        self.session = Session()
        self.inventory: Inventory | None = None
        self.tasks: dict[int, Task] = {}
        self.bytes = 0
        self.report = BlockReport()
        self.leases: dict[int, LeaseRecord] = {}
        self.coming: dict[int, LeaseRecord] = {}
        self.use: dict[str, NodeUse] = {}
        self.door = AtTheDoor()
        self.began = self.heard = self.idle_since = now
        self.served = 0
        self.visitors: Sized = ()
        self.too_long = self.drain_at = math.inf
        self.closing = self.cut = self.lost = False

    @property
    def shared_memory(self) -> bool:
        """Whether it sees our folder for large payloads; else it needs bytes."""
        return self.inventory is not None and self.inventory.shared_memory

    @property
    def is_distant(self) -> bool:
        """Whether hosts of it may not see our folder."""
        return not self.shared_memory or self.inventory is None or len(self.inventory.nodes) > 1

    @property
    def cores(self) -> int:
        """Cores of the block in all."""
        return self.inventory.cores if self.inventory else 1

    @property
    def room(self) -> int:
        """How many more tasks it gets while other blocks might take them."""
        return max(_SMALLEST_WINDOW, _WINDOW_PER_CORE * self.cores) - len(self.tasks)

    @property
    def laden(self) -> bool:
        """Whether its payloads are as much as its pilot is to hold, and it has work for all its cores."""
        return self.bytes > _MOST_BYTES and len(self.tasks) > self.cores

    def is_over(self, now: float) -> bool:
        """Whether its job has reached its end, or is about to.

        Args:
            now: Seconds since the epoch.
        """
        if self.inventory is None or self.inventory.ends_at is None or self.inventory.lasts is None:
            return False
        return now >= self.inventory.ends_at - _share(self.inventory.lasts, _ABOUT)

    def has_time(self, walltime: float, now: float) -> bool:
        """Whether a task that starts now ends before the block's job does; without a walltime it may always start.

        Args:
            walltime: The task's, in seconds; 0 is none.
            now: Seconds since the epoch.
        """
        if not walltime or self.inventory is None:
            return True
        ends_at = self.inventory.ends_at
        return walltime < self.too_long and (ends_at is None or now + walltime <= ends_at)

    @property
    def busy(self) -> int:
        """How many tasks it has, and requests at its front door."""
        return len(self.tasks) + sum(load.waiting + load.answering for load in self.door.load.values())

    def give(self, task: Task) -> None:
        """It has a task now."""
        self.tasks[task.id] = task
        self.bytes += len(task.payload)  # type: ignore[arg-type]  # no number until encoded

    def take(self, task: int, now: float) -> Task | None:
        """Return a task that it has no more, or None when it had not."""
        taken = self.tasks.pop(task, None)
        if taken is not None:
            self.bytes -= len(taken.payload)  # type: ignore[arg-type]  # as above
            if not self.tasks:
                self.idle_since = now
        return taken


class Blocks:
    """The connected blocks.

    Args:
        several: Whether more than one block can ever be there; a single block gets every task at once.
        drain_period: Seconds after its first word until a block gets no more tasks.
        drain_before: Seconds before its job ends at which a block gets no more; None: a minute, less in a short job.
        record: Where it is noted what becomes of tasks, leases and blocks.
        tally: Where the tasks that end are counted.

    Attributes:
        seen: Numbers of all blocks whose pilot has ever said hello, in that order.
        refused: Why a block's hello was turned down, by number.
        drain_at: Monotonic time at which `due` is to be asked.
    """

    def __init__(
        self,
        several: bool,
        drain_period: float = math.inf,
        record: Recorder | None = None,
        tally: Tally | None = None,
        *,
        drain_before: float | None = None,
    ) -> None:
        self._several, self._drain_period, self._drain_before = several, drain_period, drain_before
        self.record = record or Recorder()
        self.seen: list[str] = []
        self.refused: dict[str, str] = {}
        self.tally = tally or Tally()
        self.drain_at = math.inf
        self._blocks: dict[str, Block] = {}

    def __iter__(self) -> Iterator[Block]:
        return iter(list(self._blocks.values()))

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, id: str) -> Block | None:  # noqa: A002 - the field's name
        """Return a block by number."""
        return self._blocks.get(id)

    def add(self, block: Block) -> None:
        """A block spoke for the first time."""
        self._blocks[block.id] = block
        self._drain(block, block.began + self._drain_period)

    def joined(self, block: Block, inventory: Inventory, now: float) -> None:
        """A block's pilot said hello.

        Args:
            block: The block.
            inventory: What it holds.
            now: Monotonic time.
        """
        block.inventory = inventory
        self.record.joined(block.id, inventory)
        if block.id not in self.seen:
            self.seen.append(block.id)
        if (lasts := inventory.lasts) is not None:
            before = _share(lasts, _BEFORE) if self._drain_before is None else min(self._drain_before, lasts / 2)
            self._drain(block, now + lasts - before)

    def note(self, block: Block, message: Report | Holds | Used | DoorRequests) -> None:
        """A block says how it is."""
        if isinstance(message, Holds):
            block.inventory = message.inventory
        elif isinstance(message, Used):
            block.use = {**block.use, **message.nodes}  # another one: other threads look at it
            self.record.used(block.id, message)
        elif isinstance(message, DoorRequests):
            self._note_requests(block, block.door.take(message, time.time()), message.dropped)
            block.idle_since = time.monotonic()
        else:
            self._note_report(block, message)

    def _note_report(self, block: Block, part: Report) -> None:
        block.coming.update((lease.lease, lease) for lease in part.leases)
        if not part.more:
            block.report, block.leases, block.coming = part.state, block.coming, {}
            self.record.report(block.id, part.state)

    def look(self) -> None:
        """Have the record note what goes on for a while."""
        for block in self:
            self.record.look(block.id, block.leases.values(), block.door.under_way)

    def _note_requests(self, block: Block, ended: Sequence[DoorRequest], dropped: int = 0) -> None:
        for request in ended:
            self.tally.note_request(request)
        self.record.asked(block.id, ended, dropped)

    def _drain(self, block: Block, at: float) -> None:
        block.drain_at = min(block.drain_at, at)
        self.drain_at = min(self.drain_at, block.drain_at)

    def remove(self, block: Block, reason: str = "") -> None:
        """A block is gone, and with it what was still lent."""
        self._blocks.pop(block.id, None)
        now = time.time()
        out = [msgspec.structs.replace(lease, ended=now) for lease in block.leases.values()]
        self.record.ended(block.id, (), out, _NO_CLOCKS)
        self._note_requests(block, block.door.lose(reason, now))
        self.record.left(block.id, reason)
        block.leases = {}

    def due(self, now: float) -> list[Block]:
        """Return the blocks that are to get no more tasks and still do."""
        open_blocks = [block for block in self if not block.closing]
        found = [block for block in open_blocks if now >= block.drain_at]
        self.drain_at = min((block.drain_at for block in open_blocks if block not in found), default=math.inf)
        return found

    def to_end(self, launched: Mapping[str, float], count: int, max_idletime: float | None, now: float) -> list[str]:
        """Return the blocks to scale in.

        Args:
            launched: When each candidate's job was submitted; one whose pilot has not spoken is idle since then.
            count: How many at most.
            max_idletime: Only blocks that have held nothing for as long, the longest first; None: any, those with the
                fewest tasks, and requests at the front door, first.
            now: Monotonic time.
        """
        busy = {id_: block.busy if (block := self._blocks.get(id_)) else 0 for id_ in launched}
        since = {id_: block.idle_since if (block := self._blocks.get(id_)) else at for id_, at in launched.items()}
        ids = sorted(launched, key=lambda id_: (busy[id_], since[id_]))
        if max_idletime is not None:
            ids = [id_ for id_ in ids if not busy[id_] and now - since[id_] >= max_idletime]
        return ids[:count]

    def asked(self) -> int:
        """Return how many blocks have requests at their front doors: they are no tasks, and no such block is idle."""
        return sum(bool(block.door.load) for block in self)

    def may_take_at_once(self) -> bool:
        """Whether a task had better be sent now than with the next ones; asked by threads that hold no lock.

        Tasks that come in numbers travel together, which is cheaper; so this is for those that come one by one.
        """
        blocks = list(self._blocks.values())
        return len(blocks) == 1 and blocks[0].local and len(blocks[0].tasks) < blocks[0].cores

    def inventories(self) -> list[Inventory]:
        """Return what the blocks hold."""
        return [block.inventory for block in self if block.inventory]

    def totals(self) -> ExecutorTotals:
        """Return how many tasks have ended, in all blocks there ever were."""
        tally = self.tally
        return ExecutorTotals(tally.total(), tally.by_runtime(), tally.by_service(), tally.by_door())

    def have_room(self) -> bool:
        """Whether some block takes some task."""
        return any(self._has_room(block) for block in self._blocks.values())

    def have_too_little_time(self, walltime: float, now: float) -> bool:
        """Whether there are blocks, and all of them end before a task that starts now.

        Args:
            walltime: The task's, in seconds.
            now: Seconds since the epoch.
        """
        there = [block for block in self._blocks.values() if block.inventory and not block.closing]
        return bool(there) and not any(block.has_time(walltime, now) for block in there)

    def choose(self, spec: TaskSpec, now: float) -> Block | None:
        """Return the block for the next task: the least loaded that can hold it, has room and lasts as long, or None.

        Args:
            spec: The task's.
            now: Seconds since the epoch.
        """
        walltime = spec.policy.walltime
        open_blocks = [b for b in self._blocks.values() if self._has_room(b) and b.has_time(walltime, now)]
        if not self._several:
            return open_blocks[0] if open_blocks else None
        fitting = [b for b in open_blocks if b.inventory and misfit(spec, b.inventory) is None]
        return min(fitting, key=lambda b: len(b.tasks) / b.cores, default=None)

    def _has_room(self, block: Block) -> bool:
        takes = block.inventory is not None and not block.closing and not block.laden
        return takes and (not self._several or block.room > 0)


def _share(lasts: float, most: float) -> float:
    """Return a part of a job's time, so many seconds at most."""
    return min(most, _LEAST_PART * lasts)
