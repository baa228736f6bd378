"""What of one node is free: its cores, GPUs and memory."""

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.leases import Share, alone

if TYPE_CHECKING:
    from rhapsody_parsl.pilot.pool import Pool

__all__ = ("LEAST", "Account", "without_memory")

_DUST = 1e-9
_UNITS = 1e9
LEAST = 1 / _UNITS
"""Of a GB, and of a GPU: what counts."""


def _rounded(amount: float) -> float:
    """Return an amount in whole units: all sums are, so that nothing is lost over a million leases.

    As `round(amount, 9)`, in a fifth of its time.
    """
    return round(amount * _UNITS) / _UNITS


class Account:
    """The free cores, GPUs and memory of one node; `position` is its place in the block, `pool` where it is found.

    A node that is `away` (lost) lends nothing. `free_cores` counts those that are free.
    """

    __slots__ = ("_all_memory", "_cores", "away", "free_cores", "gpus", "labels", "memory", "node", "pool", "position")

    pool: "Pool"

    def __init__(self, node: Node, position: int = 0) -> None:
        self.node, self.position = node, position
        self.labels = frozenset(node.labels)
        self.away = False
        self._cores = list(node.cores)
        heapq.heapify(self._cores)
        self.free_cores = len(self._cores)
        self.gpus = [1.0] * len(node.gpus)
        self.memory = self._all_memory = _rounded(node.memory)

    @property
    def free_gpus(self) -> float:
        """How much of its GPUs is free, all together."""
        return _rounded(sum(self.gpus))

    @property
    def untouched(self) -> bool:
        """Whether nothing of the node is lent."""
        return (
            self.free_cores == len(self.node.cores)
            and self.memory == self._all_memory
            and self.gpus.count(1.0) == len(self.gpus)
        )

    def fits(self, part: Part) -> bool:
        """Whether the part could be lent now."""
        return (
            not self.away
            and part.cores <= self.free_cores
            and part.memory <= self.memory + _DUST
            and (part.gpus == 0 or self._has_gpus(part))
        )

    def ranks(self, one: Part) -> int:
        """How many times `one` rank's part could be lent now; memory counts once for all."""
        if self.away or one.memory > self.memory + _DUST:
            return 0
        by_cores = self.free_cores // one.cores if one.cores else self.free_cores
        if not one.gpus:
            return by_cores
        whole = sum(free == 1.0 for free in self.gpus)
        by_gpus = whole // int(one.gpus) if one.gpus >= 1 else sum(int(free / one.gpus + _DUST) for free in self.gpus)
        return min(by_cores, by_gpus)

    def lend(self, part: Part) -> tuple[Share, tuple[float, ...]]:
        """Take a part that fits."""
        memory = 0.0  # not a number of its own for each of a hundred thousand
        if part.memory:
            memory = _rounded(part.memory)
            self.memory = _rounded(self.memory - memory)
        if not part.gpus:
            return Share(self.node.name, self._take_cores(part.cores), (), memory), ()
        gpus = self._pick_gpus(part) or {}
        near = [self.node.near[index] for index in gpus] if self.node.near else []
        cores = self._take_cores_near(part.cores, near) if any(near) else self._take_cores(part.cores)
        for index, amount in gpus.items():
            self.gpus[index] = max(0.0, _rounded(self.gpus[index] - amount))
        return Share(self.node.name, cores, tuple(gpus), memory), tuple(gpus.values())

    def _take_cores(self, count: int) -> tuple[int, ...]:
        """Take free cores, the lowest first."""
        self.free_cores -= count
        if count == 1:
            return alone(heapq.heappop(self._cores))
        if self.free_cores:
            return tuple([heapq.heappop(self._cores) for _ in range(count)])
        everything, self._cores = self._cores, []
        if count == len(self.node.cores):
            return self.node.cores  # the same for all gangs
        return tuple(sorted(everything))

    def _take_cores_near(self, count: int, near: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Take free cores where the kernel says what is near GPUs: as many near each, in order."""
        free, taken = sorted(self._cores), list[int]()
        for cores in near:
            close = set(cores)
            taken += [core for core in free if core in close and core not in taken][: count // len(near)]
        taken += [core for core in free if core not in taken][: count - len(taken)]
        self._cores = [core for core in free if core not in taken]
        self.free_cores -= count
        return tuple(taken)

    def take_back(self, share: Share, amounts: Sequence[float]) -> None:
        """Undo `lend`."""
        cores = share.cores
        if self._cores:
            for core in cores:
                heapq.heappush(self._cores, core)
        else:
            self._cores = sorted(cores)
        self.free_cores += len(cores)
        if share.memory:
            self.memory = _rounded(self.memory + share.memory)
        for index, amount in zip(share.gpus, amounts, strict=True):
            self.gpus[index] = _rounded(self.gpus[index] + amount)
            if self.gpus[index] > 1.0 - 1e-6:
                self.gpus[index] = 1.0

    def exchange(self, share: Share, cores: int, memory: float) -> Share | None:
        """Have a share hold so many cores and so much memory, its own cores first; None when there is not so much."""
        memory, more = _rounded(memory), cores - len(share.cores)
        left = _rounded(self.memory + share.memory - memory)
        grows = more > 0 or memory > share.memory
        if grows and (self.away or left < 0 or more > self.free_cores):
            return None
        held = share.cores
        if more > 0:
            held = tuple(sorted(held + self._take_cores(more)))
        elif more < 0:
            held = alone(held[0]) if cores == 1 else held[:cores]
            self.take_back(Share(share.node, share.cores[cores:]), ())
        self.memory = left
        return Share(share.node, held, share.gpus, memory)

    def after(self, parts: Iterable[tuple[Share, Sequence[float]]]) -> "Account":
        """Return how it would be with these parts back; in no pool, and not to be lent from."""
        other = Account(self.node, self.position)
        other.away, other.memory = self.away, self.memory
        other._cores, other.gpus, other.free_cores = list(self._cores), list(self.gpus), self.free_cores
        for share, amounts in parts:
            other.take_back(share, amounts)
        return other

    def has_exactly(self, share: Share, amounts: Sequence[float]) -> bool:
        """Whether just these cores and GPUs are free; a share's memory is not looked at."""
        gpus = zip(share.gpus, amounts, strict=True)
        free = not self.away and all(self.gpus[index] + _DUST >= amount for index, amount in gpus)
        return free and set(share.cores) <= set(self._cores)

    def take_exactly(self, share: Share, amounts: Sequence[float]) -> None:
        """Take what a share of another ledger over the same nodes holds."""
        self._cores = [core for core in self._cores if core not in share.cores]
        heapq.heapify(self._cores)
        self.free_cores = len(self._cores)
        self.memory = _rounded(self.memory - share.memory)
        for index, amount in zip(share.gpus, amounts, strict=True):
            self.gpus[index] = max(0.0, _rounded(self.gpus[index] - amount))

    def _has_gpus(self, part: Part) -> bool:
        """Whether `_pick_gpus` would find them."""
        unit, gpus = part.gpu_unit, self.gpus
        if unit >= 1:
            return gpus.count(1.0) >= part.gpus
        count = max(1, round(part.gpus / unit))
        if count == 1:
            return max(gpus, default=0.0) / unit + _DUST >= 1
        return sum(int(free / unit + _DUST) for free in gpus) >= count

    def _pick_gpus(self, part: Part) -> dict[int, float] | None:
        if part.gpus == 0:
            return {}
        if part.gpu_unit >= 1:
            whole = [index for index, free in enumerate(self.gpus) if free == 1.0]
            return dict.fromkeys(whole[: int(part.gpus)], 1.0) if len(whole) >= part.gpus else None
        return self._pick_shares(part.gpu_unit, max(1, round(part.gpus / part.gpu_unit)))

    def _pick_shares(self, unit: float, count: int) -> dict[int, float] | None:
        """Put `count` shares on the fullest GPUs that still have room, so that whole ones stay whole."""
        if count == 1:
            fitting = [(free, index) for index, free in enumerate(self.gpus) if free / unit + _DUST >= 1]
            return {min(fitting)[1]: unit} if fitting else None
        picked: dict[int, float] = {}
        for index in sorted(range(len(self.gpus)), key=lambda index: (self.gpus[index], index)):
            here = min(count, int(self.gpus[index] / unit + _DUST))
            if here:
                picked[index] = here * unit
                count -= here
        return picked if count == 0 else None


def without_memory(share: Share) -> Share:
    """Return the cores and GPUs of a share."""
    return Share(share.node, share.cores, share.gpus)
