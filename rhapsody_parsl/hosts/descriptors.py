"""How many files each process of ours has open at once: the one place where these numbers are.

Counted, and rounded up. Standard library only. What strangers may take at an open port (`wire.tcp`) comes on top.
"""

__all__ = ("blocks_within", "of_carriers", "of_dragon", "of_driver", "of_pilot", "of_workers")

_DRIVER, _PER_BLOCK = 48, 2
_PILOT = 32
_PER_CARRIER = 3
"""Of what carries a node agent: its pipes, and a descriptor for its exit."""
_PER_WORKER = 2
"""In who speaks to it on its host: its socket, and a descriptor for its exit."""
_DRAGON, _DRAGON_PER_WORKER = 128, 8
"""In one of Dragon's processes: 40 were counted, and 3 per worker."""


def of_driver(blocks: int) -> int:
    """Return how many a driver has open.

    Args:
        blocks: That are there at once.
    """
    return _DRIVER + _PER_BLOCK * blocks


def blocks_within(files: int) -> int:
    """Return how many blocks a driver can have at once with so many open files."""
    return (files - _DRIVER) // _PER_BLOCK


def of_pilot(connections: int, workers: int, carriers: int = 0) -> int:
    """Return how many a pilot has open.

    Args:
        connections: Of node agents.
        workers: Processes that take tasks, on the pilot's host.
        carriers: Processes that carry node agents to hosts.
    """
    return _PILOT + connections + of_carriers(carriers) + of_workers(workers)


def of_carriers(carriers: int) -> int:
    """Return how many of these are for processes that carry node agents."""
    return _PER_CARRIER * carriers


def of_workers(workers: int) -> int:
    """Return how many of these are for processes that take tasks."""
    return _PER_WORKER * workers


def of_dragon(cores: int) -> int:
    """Return how many one of Dragon's processes on a host has open, with a worker on each core."""
    return _DRAGON + _DRAGON_PER_WORKER * cores
