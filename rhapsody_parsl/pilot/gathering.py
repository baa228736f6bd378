"""The wait for a block's other hosts: for all of them, but where they are alike not for the last few."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

import msgspec

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts.probe import HostFacts

__all__ = ("Gathered", "gather")

log = logging.getLogger(__name__)

_REST_WITHIN = 10.0
"""Seconds that the rest of the hosts has at least when half of them have come; else again as long as that took."""
_MOST_NAMED = 5
"""Problems that are told."""


class Gathered(msgspec.Struct, frozen=True):
    """The hosts that a block begins with.

    Attributes:
        hosts: Those to count on.
        facts: What each of them offers, or is taken to offer while it has not come.
    """

    hosts: list[Host]
    facts: Mapping[str, HostFacts]


async def gather(hosts: Sequence[Host], kind: str, first: HostFacts | None) -> Gathered:
    """Start the node agents.

    A host that does not come in time is expected later, or counts as lost and is tried again. What it offers nobody
    knows then: where the others are not alike, it is left out.

    Args:
        hosts: The block's, other than the first.
        kind: How they are reached.
        first: What the first host offers; None where no host is known before it has come.

    Raises:
        RhapsodyError: None answers, or there is no way to one.
    """
    began = time.monotonic()
    starts = [host.start() for host in hosts]
    await _most(starts)
    like = first and _of_all([first, *_facts(hosts).values()])
    if like is None:
        await asyncio.wait(starts)
    silent, facts = [host for host in hosts if not host.facts], _facts(hosts)
    took = time.monotonic() - began
    log.info("%d of %d other hosts reached (%s) in %.2f s", len(facts), len(hosts), kind, took)
    if not facts or like is None:
        await asyncio.gather(*(host.stop() for host in silent))
    if not facts:
        raise RhapsodyError(f"None of the block's other hosts answers ({kind}): {_problems(silent)}")
    if like is None:
        if silent:
            log.warning("hosts that do not answer are left out: %s", _problems(silent))
        return Gathered([host for host in hosts if host.facts], facts)  # one that was lost meanwhile comes back
    for host in silent:
        host.go_on_without(like)
    return Gathered(list(hosts), facts | {host.name: like for host in silent})


async def _most(starts: Sequence[asyncio.Task[bool]]) -> None:
    """Wait until all hosts have been tried, or half of them are there and the rest has had its time.

    Raises:
        Unreachable: There is no way to one.
    """
    began, there = time.monotonic(), 0
    for start in asyncio.as_completed(starts):
        there += await start
        if 2 * there >= len(starts):
            break
    await asyncio.wait(starts, timeout=max(_REST_WITHIN, time.monotonic() - began))


def _facts(hosts: Sequence[Host]) -> dict[str, HostFacts]:
    return {host.name: host.facts for host in hosts if host.facts}


def _of_all(facts: Sequence[HostFacts]) -> HostFacts | None:
    """Return what each of some hosts offers at least, where they are alike; else None."""
    least = min(facts, key=lambda each: each.memory)
    same = all(one._replace(address="", memory=0) == least._replace(address="", memory=0) for one in facts)
    most = max(facts, key=lambda each: each.memory)
    return least if same and not least.lacking(most) else None


def _problems(hosts: Sequence[Host]) -> str:
    """Return why hosts are not there; what is the same of many is said once."""
    alike: dict[str, list[Host]] = {}
    for host in hosts:
        alike.setdefault(host.problem.replace(host.name, ""), []).append(host)
    told = [_problem(*some) for some in alike.values()]
    return "; ".join(
        [*told[:_MOST_NAMED], *([f"and {len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else [])]
    )


def _problem(host: Host, *others: Host) -> str:
    also = f" and {len(others)} other{'s' if len(others) > 1 else ''}" if others else ""
    return f"{host.name}{also}: {host.problem}"
