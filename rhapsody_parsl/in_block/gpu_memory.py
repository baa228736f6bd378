"""What a block knows of the memory that its GPUs have in use, as its nodes told last; nothing where no tool tells."""

from collections.abc import Iterable, Sequence

from rhapsody_parsl.wire.leases import Share

__all__ = ("GpuMemory",)

_ROOM = 2.0
"""GB above the least that was ever seen on a GPU, and that count as nothing: drivers and sleeping engines hold some."""


class GpuMemory:
    """The memory of GPUs that a lease has as a whole; of a share of one, others hold what they hold."""

    def __init__(self) -> None:
        self._told: dict[str, Sequence[float]] = {}
        self._least: dict[str, Sequence[float]] = {}

    def note(self, node: str, used: Sequence[float]) -> None:
        """The GPUs of a node have so many GB in use, in the order of their numbers; none where nobody says."""
        self._told[node] = used
        if used:
            before = self._least.get(node, used)
            self._least[node] = [min(pair) for pair in zip(used, before, strict=True)]

    def held(self, shares: Iterable[Share]) -> dict[str, float]:
        """Return those GPUs of these shares on which something is held, as `node:number`, with the GB in use."""
        found = {}
        for share in shares:
            told, least = self._told.get(share.node, ()), self._least.get(share.node, ())
            for gpu in share.gpus if told else ():
                if told[gpu] > least[gpu] + _ROOM:
                    found[f"{share.node}:{gpu}"] = told[gpu]
        return found
