"""Where agents go that hold no core: a search for free cores would put all of them on one node."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.pool import Room

__all__ = ("AgentPlaces",)


class AgentPlaces:
    """How many agents each node of a block has.

    Args:
        accounts: The nodes, by name.
    """

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._counts: Counter[str] = Counter()

    def loneliest(self, spec: TaskSpec, demand: Demand | None, rooms: Sequence[Room] | None) -> str:
        """Return the node with the fewest agents that can hold another one; "" where none can, or it holds cores.

        Args:
            spec: The agent's.
            demand: What it asks of a node, if somebody knows.
            rooms: The nodes that it may use; without them, all.
        """
        if spec.resources.cores:
            return ""
        demand = demand or Demand(spec)
        usable = (one for one in self._accounts.values() if not rooms or any(room.has(one) for room in rooms))
        able = [account for account in usable if demand.holds(account)]
        best = min(able, key=lambda account: (self._counts[account.node.name], account.position), default=None)
        return best.node.name if best else ""

    def came(self, node: str) -> None:
        """A node has one more."""
        self._counts[node] += 1

    def left(self, node: str) -> None:
        """A node has one less."""
        self._counts[node] -= 1
