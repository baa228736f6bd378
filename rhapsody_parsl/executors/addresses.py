"""Where pilots find the driver."""

import socket

import psutil

__all__ = ("own_addresses",)


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
