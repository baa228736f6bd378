"""What torch.distributed reads of a gang: where its ranks meet, and which of them a process is. Pure.

The port is kept where the first rank is, for each task anew: see `worker.port`.
"""

from collections import Counter
from collections.abc import Sequence

from rhapsody_parsl.runtimes.protocol import Run

__all__ = ("meeting_place", "variables_of_ranks")

_LOOPBACK = "127.0.0.1"


def meeting_place(run: Run) -> dict[str, str]:
    """Return the variable with the address of the first rank's host, as the gang's other hosts reach it."""
    first = run.placed[0].node
    alone = all(placed.node.host == first.host for placed in run.placed)
    return {"MASTER_ADDR": _LOOPBACK if alone else first.address or first.host}


def variables_of_ranks(hosts: Sequence[str]) -> list[dict[str, str]]:
    """Return each rank's own variables; a host is one node, whatever the block declares.

    Args:
        hosts: Of each rank, in order.
    """
    nodes = {host: number for number, host in enumerate(dict.fromkeys(hosts))}
    sizes, seen = Counter(hosts), Counter[str]()
    found = []
    for rank, host in enumerate(hosts):
        found.append({
            "RANK": str(rank),
            "WORLD_SIZE": str(len(hosts)),
            "LOCAL_RANK": str(seen[host]),
            "LOCAL_WORLD_SIZE": str(sizes[host]),
            "NODE_RANK": str(nodes[host]),
            "GROUP_RANK": str(nodes[host]),
        })  # fmt: skip
        seen[host] += 1
    return found
