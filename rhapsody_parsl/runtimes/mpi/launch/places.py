"""Where the ranks of a lease are: for each host the cores and the GPUs of each rank there. Pure."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from rhapsody_parsl.annotations.groups import RankGroup, with_gpus
from rhapsody_parsl.in_block.context import real_of
from rhapsody_parsl.runtimes.protocol import Placed

__all__ = ("Place", "chunks", "gpus_of", "places_of", "plan")


class Place(msgspec.Struct, frozen=True):
    """A host and the real cores of each rank on it.

    Attributes:
        host: Name as the launcher takes it.
        ranks: For each rank there, its cores.
        gpus: For each rank there, the ids of its GPUs; () when none has any.
    """

    host: str
    ranks: tuple[tuple[int, ...], ...]
    gpus: tuple[tuple[str, ...], ...] = ()


def chunks(placed: Placed) -> list[tuple[int, ...]]:
    """Return the declared cores of each rank of a share: equal, in order."""
    return _cut(placed.share.cores, placed.ranks)


def _cut(cores: tuple[int, ...], ranks: int) -> list[tuple[int, ...]]:
    each = len(cores) // ranks
    return [cores[rank * each : (rank + 1) * each] for rank in range(ranks)]


def places_of(placed: Iterable[Placed], gpus_per_rank: float = 0.0, groups: Sequence[RankGroup] = ()) -> list[Place]:
    """Return a lease as places, nodes of one host as one.

    Args:
        placed: The lease's parts.
        gpus_per_rank: How many GPUs each rank has of its own; a share below 1 is of one of the lease's.
        groups: Of the ranks, where not all of these have GPUs.
    """
    places: dict[str, Place] = {}
    first, alike = 0, _Alike()
    for part in placed:
        host, ranks = part.node.host, alike.cores_of(part)
        own = _of_ranks(part, gpus_per_rank, with_gpus(groups, first, part.ranks)) if gpus_per_rank else ()
        gpus = tuple(tuple(part.node.gpus[index] for index in each) for each in own)
        if before := places.get(host):
            ranks, gpus = before.ranks + ranks, before.gpus + gpus
        places[host] = Place(host, ranks, gpus)
        first += part.ranks
    return list(places.values())


class _Alike:
    """The cores of the ranks of shares: a gang has hundreds of nodes, and next to all are like the one before."""

    def __init__(self) -> None:
        self._asked: tuple[tuple[int, ...], tuple[int, ...], int] | None = None
        self._found: tuple[tuple[int, ...], ...] = ()

    def cores_of(self, part: Placed) -> tuple[tuple[int, ...], ...]:
        """Return the real cores of each rank of a share."""
        asked = part.node.real_cores, part.share.cores, part.ranks
        if asked != self._asked:
            real, cores, ranks = self._asked = asked
            self._found = tuple(real_of(real, chunk) for chunk in _cut(cores, ranks))
        return self._found


def _of_ranks(placed: Placed, each: float, have: Sequence[bool]) -> Iterator[tuple[int, ...]]:
    """Yield the GPUs of each rank of a share, of which some have none."""
    numbers, count = itertools.count(), sum(have)
    for has in have:
        yield gpus_of(placed, next(numbers), each, count) if has else ()


def gpus_of(placed: Placed, rank: int, each: float, ranks: int = 0) -> tuple[int, ...]:
    """Return the GPUs of a rank of a share, by their place on the node; all where ranks have none of their own.

    Args:
        placed: The share.
        rank: The rank's number among those that have some.
        each: How many each of them has.
        ranks: How many have some; 0 for all of the share.
    """
    gpus = placed.share.gpus
    if each >= 1:
        return gpus[rank * int(each) : (rank + 1) * int(each)]
    return (gpus[rank * len(gpus) // (ranks or placed.ranks)],) if each and gpus else gpus


def plan(places: Sequence[Place]) -> str:
    """Return the places as `bind` reads them; nothing in it needs quotes in a shell."""
    return ",".join(f"{place.host}={'/'.join(_shares(place))}" for place in places)


def _shares(place: Place) -> list[str]:
    gpus = place.gpus or ((),) * len(place.ranks)
    return [
        "+".join(_ranges(cores)) + (f"@{'+'.join(own)}" if own else "")
        for cores, own in zip(place.ranks, gpus, strict=True)
    ]


def _ranges(cores: Iterable[int]) -> list[str]:
    """Return `0-3`, `8` for 0, 1, 2, 3, 8."""
    runs: list[list[int]] = []
    for core in sorted(set(cores)):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return [f"{first}-{last}" if last > first else str(first) for first, last in runs]
