"""On which node a replica stands: near a label, packed, or away from its like. Pure."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand

__all__ = ("loneliest", "wishes")


def wishes(wants: TaskSpec) -> Iterator[TaskSpec]:
    """Yield what to ask for, the best first: on nodes with the label that it is to be near, then on any."""
    policy = wants.policy
    if policy.near:
        near = msgspec.structs.replace(policy, labels=(*policy.labels, policy.near))
        yield msgspec.structs.replace(wants, policy=near)
    yield wants


def loneliest(wants: TaskSpec, accounts: Iterable[Account], like: Mapping[str, int]) -> str:
    """Return the node with the fewest replicas of the same service, of several the one with most free.

    Args:
        wants: What it asks of a node.
        accounts: The nodes that it may use.
        like: How many replicas of the service each node has.

    Returns:
        The node's name; "" when none has room, when it packs, or when it takes several nodes.
    """
    if wants.policy.placement != "spread" or wants.resources.is_mpi:
        return ""
    demand = Demand(wants)

    def worth(account: Account) -> tuple[int, float, int, int]:
        return like.get(account.node.name, 0), -account.free_gpus, -account.free_cores, account.position

    best = min((account for account in accounts if demand.holds(account)), key=worth, default=None)
    return best.node.name if best else ""
