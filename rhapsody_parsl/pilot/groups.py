"""The shapes that wait for nodes, in ladders that find room together: who has none costs a decision nothing."""

from collections.abc import Collection, Hashable, Iterator

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.ladder import Ladder
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Groups",)


class Groups:
    """All ladders of a block.

    Gangs stand before others, and many cores before few: of equal claims they are first.

    Attributes:
        gangs: How many of them are of gangs.
    """

    def __init__(self) -> None:
        self.gangs = 0
        self._ladders: dict[tuple[Hashable, str], Ladder] = {}

    def add(self, shape: Shape[Lane]) -> None:
        """Tasks of a shape wait, or its first claim may be an older one."""
        key = (shape.demand.ladder, shape.gate)
        ladder = self._ladders.get(key)
        if ladder is None:
            demand = shape.demand
            ladder = Ladder(of_gangs=not demand.single, least=demand.least, whole=demand.whole)
            self._ladders[key] = ladder
            self.gangs += ladder.of_gangs
            self._ladders = dict(sorted(self._ladders.items(), key=_largest_first))
        ladder.add(shape)

    def clear(self) -> None:
        """Nobody waits."""
        self._ladders.clear()
        self.gangs = 0

    def fitting(self, ready: Collection[str], ahead: float) -> list[Ladder]:
        """Return the ladders of runtimes that are ready; a walk begins.

        Args:
            ready: Names of the runtimes.
            ahead: See `Ladder.climb`.
        """
        fitting: list[Ladder] = []
        for key, ladder in list(self._ladders.items()):
            if ladder.is_unused:
                del self._ladders[key]
                self.gangs -= ladder.of_gangs
            elif key[1] in ready:
                ladder.climb(ahead)
                fitting.append(ladder)
        return fitting

    def fitting_in(self, pool: Pool, ready: Collection[str]) -> Iterator[Shape[Lane]]:
        """Yield shapes that may find room on nodes of a pool beside the open ones, of runtimes that are ready."""
        for (_, gate), ladder in list(self._ladders.items()):
            if gate in ready:
                yield from ladder.fitting_in(pool)

    def first_on(
        self,
        account: Account,
        back: Part,
        ready: Collection[str],
        below: float,
        *,
        passed: Collection[Shape[Lane]] = (),
    ) -> tuple[float, Shape[Lane]] | None:
        """Return who would have room on a node if so much more of it were free: see `Ladder.first_on`."""
        first, cores = None, account.free_cores + back.cores
        for (_, gate), ladder in self._ladders.items():
            if ladder.least <= cores and gate in ready and (found := ladder.first_on(account, back, below, passed)):
                first, below = found, found[0]
        return first


def _largest_first(item: tuple[object, Ladder]) -> tuple[bool, int]:
    ladder = item[1]
    return not ladder.of_gangs, -ladder.least
