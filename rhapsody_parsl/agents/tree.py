"""Which node agents speak to the pilot by another one: in a large block the pilot has few connections."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ("STAR", "VARIABLE", "Tree")

VARIABLE = "RHAPSODY_FAN_OUT"
_FAN_OUT = 64
_ABOVE = 256
"""Hosts up to which each agent has a connection of its own."""
_LOST_AT_ONCE = 2
"""Gateways whose agents have connections of their own meanwhile."""


class Tree(NamedTuple):
    """The agents of a block. Without gateways it is a star.

    Attributes:
        gateways: For each host the one by whose agent its own speaks to the pilot; such a host is its own.
        fan_out: How many hosts a gateway is for, itself included.
    """

    gateways: Mapping[str, str] = {}
    fan_out: int = 0

    @classmethod
    def of(cls, hosts: Sequence[str], environment: Mapping[str, str]) -> "Tree":
        """Return that of a block.

        Args:
            hosts: Those with an agent, neighbours next to each other.
            environment: Where the user may have said how many share a connection; less than 2 is a star.
        """
        said = environment.get(VARIABLE, "")
        fan_out = int(said) if said.isdecimal() else _FAN_OUT if len(hosts) > _ABOVE else 0
        if not 1 < fan_out <= len(hosts):
            return STAR
        return cls({host: hosts[at - at % fan_out] for at, host in enumerate(hosts)}, fan_out)

    def connections(self, hosts: int) -> int:
        """Return how many of the pilot's connections so many hosts need, also while some gateways are lost."""
        return min(hosts, len(set(self.gateways.values())) + _LOST_AT_ONCE * self.fan_out) if self.gateways else hosts


STAR = Tree()
