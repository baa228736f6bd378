"""One decision's walk over those who wait, the first claim first."""

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush

from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("in_turn",)


def in_turn(rankings: Sequence[Ranking[Shape[Lane]]], ready: Collection[str]) -> Iterator[Lane]:
    """Merge rankings of shapes; yield each shape's first lane until one of them still has tasks after its turn.

    That shape finds no room, and has no other turn in this walk.

    Args:
        rankings: All in the first one have their turn; the others hold shapes that need equally much each, and a shape
            may stand in several. All are as before when the walk is over.
        ready: Names of the runtimes that can take tasks.
    """
    heads = [(front[0], place) for place, ranking in enumerate(rankings) if (front := ranking.front())]
    heapify(heads)
    passed: set[Shape[Lane]] = set()
    aside: list[tuple[int, Shape[Lane]]] = []
    try:
        while heads:
            order, place = heappop(heads)
            front = rankings[place].front()
            if front is None or (place and not front[1].has_room):
                continue
            key, shape = front
            if shape in passed or shape.gate not in ready:
                aside.append((place, shape))
                rankings[place].pop()
            elif key == order:
                yield from _turn(shape, passed)
            if (following := rankings[place].front()) is not None:
                heappush(heads, (following[0], place))
    finally:
        for place, shape in aside:
            rankings[place].add(shape)


def _turn(shape: Shape[Lane], passed: set[Shape[Lane]]) -> Iterator[Lane]:
    lane = shape.lanes.first()
    if lane is not None:
        yield lane
        if len(lane):
            passed.add(shape)
