"""What of a block is free now, and what a task that waits would need instead, in words."""

from functools import cached_property

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.ledger import Ledger

__all__ = ("RoomLeft",)

_MOST_SEARCHES = 8
"""Searches of all nodes for one answer; a lane beyond gets a shorter one."""


class RoomLeft:
    """What is free in a block at this moment; it looks at each node once.

    Args:
        ledger: The block's.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._searches = ledger, 0

    @cached_property
    def _there(self) -> list[Account]:
        return [account for account in self._ledger.accounts.values() if not account.away]

    @cached_property
    def _most(self) -> dict[str, float]:
        """The most that one node has free of each."""
        there = self._there
        return {
            "cores": max((account.free_cores for account in there), default=0),
            "GPUs": max((account.free_gpus for account in there), default=0.0),
            "GB": max((account.memory for account in there), default=0.0),
        }

    def missing(self, spec: TaskSpec) -> str:
        """Return what a task waits for."""
        resources, demand = spec.resources, Demand(spec)
        if resources.is_mpi or demand.whole:
            return self._missing_nodes(spec, demand)
        wanted = {"cores": resources.cores, "GPUs": resources.gpus, "GB": resources.memory}
        short = [
            f"{amount:g} {_singular(what, amount)} of one node (at most {self._most[what]:g} free)"
            for what, amount in wanted.items()
            if amount > self._most[what]
        ]
        return f"it needs {' and '.join(short)}" if short else self._searched(spec, demand)

    def _missing_nodes(self, spec: TaskSpec, demand: Demand) -> str:
        self._searches += 1
        if self._searches > _MOST_SEARCHES:
            return "it waits for room"
        holds = [demand.holds(account) for account in self._there]
        what = "ranks" if demand.per_rank else "untouched nodes" if demand.whole else "nodes with room"
        if sum(holds) < demand.needs:
            return f"it needs {demand.needs} {what}, and {sum(holds)} of these are free now"
        return self._searched(spec, demand)

    def _searched(self, spec: TaskSpec, demand: Demand) -> str:
        """Return why a task waits for which the block has enough, all in all."""
        self._searches += 1
        if self._searches <= _MOST_SEARCHES and scheduler.place(spec, self._ledger, demand=demand) is None:
            return "no node has all that it needs free at once"
        if self._ledger.kept:
            return "nodes with room are kept free for tasks that have waited longer"
        return "it is about to start"


def _singular(what: str, amount: float) -> str:
    return what if amount > 1 else what.removesuffix("s")
