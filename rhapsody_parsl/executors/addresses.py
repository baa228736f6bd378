"""Where pilots find the driver."""

import socket
from typing import NamedTuple

import psutil
from parsl.providers import LocalProvider
from parsl.providers.base import ExecutionProvider

__all__ = ("Listening", "listening", "own_addresses")


class Listening(NamedTuple):
    """Where the driver listens.

    Attributes:
        address: What to bind, any port.
        hosts: Names of this host, which pilots try in this order.
        beside: Whether pilots on this host come over a Unix socket.
    """

    address: str
    hosts: list[str]
    beside: bool


def listening(address: str | None, provider: ExecutionProvider | None) -> Listening:
    """Return where to listen.

    Args:
        address: The user's, if there is one: then all pilots come over TCP.
        provider: Starts the blocks; a `LocalProvider` starts them on this host.
    """
    if address is not None:
        return Listening("tcp://*", [address], beside=False)
    if isinstance(provider, LocalProvider):
        return Listening("tcp://127.0.0.1", ["127.0.0.1"], beside=True)
    return Listening("tcp://*", own_addresses(), beside=True)


def own_addresses() -> list[str]:
    """Return the IPv4 addresses of this host's interfaces that are up; loopback only when there is no other.

    Parsl's `get_all_addresses` also asks the name service and a web service, which takes many seconds behind a
    firewall; a public address of this host's, if there is one, is not what nodes of its cluster need.
    """
    up = {name for name, interface in psutil.net_if_stats().items() if interface.isup}
    found = [
        address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if name in up and address.family == socket.AF_INET
    ]
    far = [address for address in found if not address.startswith("127.")]
    return list(dict.fromkeys(far)) or ["127.0.0.1"]
