"""How many files a pilot has open at once: some of its own, and some for each host and each process of the block."""

from collections.abc import Iterable

from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.errors import TooFewOpenFiles
from rhapsody_parsl.hosts import descriptors, limits
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.tcp import MOST_SILENT

__all__ = ("provide",)


def provide(hosts: int, nodes: Iterable[Node] = (), kinds: int = 1, *, in_steps: bool, tree: Tree = STAR) -> None:
    """Raise the soft limit to what is needed with a process of each kind on each core here, and strangers may take.

    Args:
        hosts: Other than this.
        nodes: Of this host, as far as they are known.
        kinds: How many kinds of processes a core may have: a runtime's each.
        in_steps: Whether one process carries many node agents, all but those that were lost and came back alone.
        tree: Of the node agents; all of them may have a connection of their own for a while.

    Raises:
        TooFewOpenFiles: The hard limit is too low for a single process on each core.
    """
    cores = sum(len(node.cores) for node in nodes)
    connections = tree.connections(hosts)
    least = descriptors.of_pilot(connections, cores, 1 if in_steps else hosts)
    more = descriptors.of_workers(cores * (max(1, kinds) - 1)) + (MOST_SILENT if hosts else 0)
    more += hosts - connections + (descriptors.of_carriers(hosts) if in_steps else 0)
    missing = limits.allow(least + more)
    if missing > more:
        what = f"The pilot of a block of {hosts + 1} hosts" + (f" and {cores} cores" if cores else "")
        raise TooFewOpenFiles(what, missing - more, limits.hard())
