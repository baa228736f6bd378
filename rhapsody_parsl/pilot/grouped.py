"""Where the ranks of a gang go of which only some have GPUs: their order decides what each node is asked for. Pure."""

from collections.abc import Sequence

from rhapsody_parsl.annotations.resources import Part, Resources
from rhapsody_parsl.pilot.account import Account

__all__ = ("dealt", "dealt_evenly")

Parts = list[tuple[Account, Part]]


def dealt(resources: Resources, accounts: Sequence[Account], least: int, most: int) -> Parts:
    """Give the ranks in order to nodes in order; return what is taken of each, [] when they do not all find room.

    As many as possible on each node: wherever another choice finds room for all, this one does.

    Args:
        resources: The gang's.
        accounts: The nodes, in the order in which ranks are numbered.
        least: Ranks on each node that is used.
        most: The same.
    """
    parts: Parts = []
    first = 0
    for account in accounts:
        part = _largest(resources, account, first, least=least, most=min(most, resources.num_ranks - first))
        if part is not None:
            parts.append((account, part))
            first += part.ranks
        if first == resources.num_ranks:
            return parts
    return []


def dealt_evenly(resources: Resources, accounts: Sequence[Account]) -> Parts:
    """Do the same with as few ranks on a node as there may be, the same number on all that have room for it."""
    least = -(-resources.num_ranks // max(1, len(accounts)))
    tries = (dealt(resources, accounts, 1, most) for most in range(least, resources.num_ranks + 1))
    return next(filter(None, tries), [])


def _largest(resources: Resources, account: Account, first: int, *, least: int, most: int) -> Part | None:
    """Return what most of the next ranks take that find room on a node; None when fewer than `least` do."""
    most = min(most, account.free_cores // resources.cores_per_rank)
    parts = (resources.part(ranks, first) for ranks in range(most, least - 1, -1))
    return next(filter(account.fits, parts), None)
