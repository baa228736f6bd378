"""By which address others reach this host; standard library only."""

import socket

__all__ = ("address_towards",)

_ANY_PORT = 9


def address_towards(host: str) -> str:
    """Return our address on the network over which a host is reached; "127.0.0.1" for ourselves.

    Raises:
        OSError: There is no way to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _ANY_PORT))  # sends nothing
        return str(probe.getsockname()[0])
