"""Names of hosts: whether two mean the same one, and which of several is ours. Standard library only."""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping

__all__ = ("is_host", "of_this_host", "our_names", "ours")


def is_host(name: str, here: str) -> bool:
    """Whether two names are one host's; one of them may have its domain. Addresses are compared as a whole."""
    one, other = _address(name), _address(here)
    if one or other:
        return one == other
    return name.partition(".")[0].lower() == here.partition(".")[0].lower()


def our_names(environment: "Mapping[str, str]", here: str) -> "list[str]":
    """Return what this host is called, the batch system's name for it first: Slurm's need not be the host's own.

    Args:
        environment: Where the batch system's variables are.
        here: As the host calls itself.
    """
    return [name for name in (environment.get("SLURMD_NODENAME"), here) if name]


def ours(listed: "Iterable[str]", names: "Iterable[str]") -> "list[str]":
    """Return those of some names of hosts that are this host's.

    Args:
        listed: Names, or addresses.
        names: What this host is called.
    """
    listed = list(listed)
    for name in names:
        if found := [each for each in listed if is_host(each, name)]:
            return found
    return [each for each in listed if _is_own_address(each)]


def _address(name: str) -> str:
    """Return an address in its one way of writing, "" for a name."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return ""


def _is_own_address(name: str) -> bool:
    """Whether this host has an address: only then a socket can be bound to it."""
    address = _address(name)
    if not address:
        return False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def of_this_host(listed: "Iterable[str]") -> "list[str]":
    """Return those of some names that are the host's on which this runs."""
    return ours(listed, our_names(os.environ, os.uname().nodename))
