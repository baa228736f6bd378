"""Groups of ranks in one gang, each with a program of its own: what users write, and the checked values. Pure."""

from collections.abc import Sequence
from itertools import chain, islice, repeat
from typing import Any

import msgspec

from rhapsody_parsl.annotations.surroundings import check_env
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.wording import nearest

__all__ = ("RankGroup", "check_groups", "counted", "with_gpus")

_MOST_GROUPS = 100
_MOST_RANKS = 1 << 30


class RankGroup(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One group.

    Attributes:
        ranks: How many ranks it has; those of the first group come first.
        env: Variables of its programs alone, as sorted pairs.
        gpus: Whether its ranks have GPUs.
    """

    ranks: int
    env: tuple[tuple[str, str], ...] = ()
    gpus: bool = True


def check_groups(key: str, value: Any) -> tuple[RankGroup, ...]:
    """Return groups as checked values.

    Raises:
        InvalidTask: They are none.
    """
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise InvalidTask(key, value, "a list of dicts is needed", "Write groups=[{'ranks': 2}, {'ranks': 1}]")
    if len(value) > _MOST_GROUPS:
        raise InvalidTask(key, len(value), f"{_MOST_GROUPS} at most")
    return tuple(_group(key, each) for each in value)


def _group(key: str, given: dict[Any, Any]) -> RankGroup:
    known = RankGroup.__struct_fields__
    for name, each in given.items():
        if name not in known:
            raise InvalidTask(f"{key}: {name}", each, "unknown key", nearest(name, known) or f"Known are {known}")
    ranks, gpus = given.get("ranks"), given.get("gpus", True)
    if isinstance(ranks, bool) or not isinstance(ranks, int) or not 1 <= ranks <= _MOST_RANKS:
        raise InvalidTask(f"{key}: ranks", ranks, "a whole number from 1 on is needed")
    if not isinstance(gpus, bool):
        raise InvalidTask(f"{key}: gpus", gpus, "True or False is needed", "How many each rank has says gpus_per_rank")
    return RankGroup(ranks, check_env(f"{key}: env", given.get("env", {})), gpus)


def with_gpus(groups: Sequence[RankGroup], first: int, count: int) -> list[bool]:
    """Return for each of some ranks in a row whether it has GPUs.

    Args:
        groups: Those of the gang; () for one without: then each rank has.
        first: The number of the first of these ranks.
        count: How many they are.
    """
    if not groups:
        return [True] * count
    all_ranks = chain.from_iterable(repeat(group.gpus, group.ranks) for group in groups)
    return list(islice(all_ranks, first, first + count))


def counted(own: dict[str, Any]) -> dict[str, Any]:
    """Return resources with the number of ranks that their groups have together.

    Raises:
        InvalidTask: Another number is given.
    """
    if not (groups := own.get("groups")):
        return own
    total = sum(group.ranks for group in groups)
    if own.get("num_ranks", total) != total:
        raise InvalidTask("num_ranks", own["num_ranks"], f"the groups have {total} ranks", "Drop num_ranks")
    return own | {"num_ranks": total}
