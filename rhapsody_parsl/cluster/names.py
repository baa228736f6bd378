"""Names of hosts: whether two mean the same one, and which of several is ours. Standard library only."""

import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Iterable, Mapping

__all__ = (
    "addresses_of",
    "is_host",
    "is_known",
    "is_one_host",
    "of_this_host",
    "our_names",
    "ours",
    "own_address",
    "short",
)

_ELSEWHERE = "192.0.2.1"
"""An address of no host."""
_ASKED_FOR = 10.0
"""Seconds after which no further name is looked up in the network."""


def is_host(name: str, here: str) -> bool:
    """Whether two names can be one host's; one of them may have its domain. Addresses are compared as a whole."""
    return short(name) == short(here)


def is_one_host(name: str, other: str) -> bool:
    """Whether two names in one list are one host's: those of two domains are not."""
    return is_host(name, other) and ("." not in name or "." not in other or name.lower() == other.lower())


def short(name: str) -> str:
    """Return what of a name tells the host: no domain and no capitals; of an address all, in its one way of writing."""
    return _address(name) or name.partition(".")[0].lower()


def our_names(environment: "Mapping[str, str]", here: str) -> "list[str]":
    """Return what this host is called, the batch system's name for it first: Slurm's need not be the host's own.

    Args:
        environment: Where the batch system's variables are.
        here: As the host calls itself.
    """
    return [name for name in (environment.get("SLURMD_NODENAME"), here) if name]


def ours(listed: "Iterable[str]", names: "Iterable[str]") -> "list[str]":
    """Return those of some names of hosts that are this host's: by its names, else by its addresses.

    The network tells which one where names of two domains look alike, and where a list has names of another network
    (`n7-ib0`).

    Args:
        listed: Names, or addresses.
        names: What this host is called.
    """
    listed = list(listed)
    for name in names:
        found = [each for each in listed if each.lower() == name.lower()] or [e for e in listed if is_host(e, name)]
        if found:
            return found if len({each.lower() for each in found}) == 1 else _at_home(found) or found
    return _at_home(listed)


def addresses_of(name: str) -> "list[str]":
    """Return the addresses of a host that other hosts can have too; none of an unknown name."""
    if address := _address(name):
        return [address]
    with contextlib.suppress(OSError, UnicodeError):
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)}
        return sorted(each for each in found if not ipaddress.ip_address(each).is_loopback)
    return []


def is_known(name: str) -> bool:
    """Whether the network knows a name, and an address of IPv4 for it: we listen at no other."""
    with contextlib.suppress(OSError, UnicodeError):
        return bool(socket.getaddrinfo(name, None, socket.AF_INET))
    return False


def own_address() -> str:
    """Return what others call this host in the network: its name if that is known, else the address it sends from."""
    name = socket.gethostname()
    if is_known(name):
        return name
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((_ELSEWHERE, 9))  # sends nothing
        return str(probe.getsockname()[0])
    return name


def _at_home(listed: "Iterable[str]") -> "list[str]":
    """Return those that lead to this host, as far as the network says so in time."""
    deadline = time.monotonic() + _ASKED_FOR
    return [name for name in listed if time.monotonic() < deadline and any(map(_is_own, addresses_of(name)))]


def _address(name: str) -> str:
    """Return an address in its one way of writing, "" for a name."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return ""


def _is_own(address: str) -> bool:
    """Whether this host has an address: what it sends there, it sends from there. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0]) == address
    return False


def of_this_host(listed: "Iterable[str]") -> "list[str]":
    """Return those of some names that are the host's on which this runs."""
    return ours(listed, our_names(os.environ, os.uname().nodename))
