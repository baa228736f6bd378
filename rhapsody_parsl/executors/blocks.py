"""The blocks the driver knows, the tasks each holds, and which block gets the next one."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from rhapsody_parsl.executors.admission import misfit
from rhapsody_parsl.spec.task_spec import TaskSpec
from rhapsody_parsl.wire.messages import LeaseRecord, Task
from rhapsody_parsl.wire.session import Session

__all__ = ("Block", "Blocks")

_KEPT_LEASES = 200_000
_WINDOW_PER_CORE = 64
_SMALLEST_WINDOW = 256


class Block:
    """A pilot that said hello.

    Attributes:
        id: The block's number.
        session: The numbered conversation with it.
        inventory: What it holds, as its `Hello` said.
        tasks: Tasks it has and has not ended, oldest first.
        state: Its last report.
        leases: Those that were out then and have not ended since, by number.
        heard: Monotonic time of its last word.
        closing: Whether it gets no more tasks.
    """

    def __init__(self, id: str, now: float) -> None:  # noqa: A002 - the field's name
        self.id = id
        self.session = Session()
        self.inventory: dict[str, Any] = {}
        self.tasks: dict[int, Task] = {}
        self.state: dict[str, Any] = {}
        self.leases: dict[int, LeaseRecord] = {}
        self.heard = now
        self.closing = False
        self.cut = False

    @property
    def cores(self) -> int:
        """Cores of the block in all."""
        return int(self.inventory.get("cores", 1))

    @property
    def room(self) -> int:
        """How many more tasks it gets while other blocks might take them."""
        return max(_SMALLEST_WINDOW, _WINDOW_PER_CORE * self.cores) - len(self.tasks)


class Blocks:
    """The connected blocks.

    Args:
        several: Whether more than one block can ever be there; a single block gets every task at once.

    Attributes:
        history: Ended leases of all blocks, those that are gone too: block number and record.
    """

    def __init__(self, several: bool) -> None:
        self._several = several
        self._blocks: dict[str, Block] = {}
        self.history: deque[tuple[str, LeaseRecord]] = deque(maxlen=_KEPT_LEASES)

    def __iter__(self) -> Iterator[Block]:
        return iter(list(self._blocks.values()))

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, id: str) -> Block | None:  # noqa: A002 - the field's name
        """Return a block by number."""
        return self._blocks.get(id)

    def add(self, block: Block) -> None:
        """A block said hello."""
        self._blocks[block.id] = block

    def leases_ended(self, block: Block, leases: Iterable[LeaseRecord]) -> None:
        """Leases of a block ended."""
        for lease in leases:
            block.leases.pop(lease.lease, None)
            self.history.append((block.id, lease))

    def remove(self, block: Block) -> None:
        """A block is gone, and with it what was still lent."""
        self._blocks.pop(block.id, None)
        now = time.time()
        self.leases_ended(block, [msgspec.structs.replace(lease, ended=now) for lease in block.leases.values()])

    def inventories(self) -> list[Mapping[str, Any]]:
        """Return what the blocks hold."""
        return [block.inventory for block in self if block.inventory]

    def choose(self, spec: TaskSpec) -> Block | None:
        """Return the block for the next task: the least loaded that can ever hold it and has room, or None."""
        open_blocks = [b for b in self._blocks.values() if b.inventory and not b.closing]
        if not self._several:
            return open_blocks[0] if open_blocks else None
        fitting = [b for b in open_blocks if b.room > 0 and misfit(spec, b.inventory) is None]
        return min(fitting, key=lambda b: len(b.tasks) / b.cores, default=None)
