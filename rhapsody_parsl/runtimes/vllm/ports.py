"""Ports for an engine's own processes to meet, which no other replica, block or job of ours on this host is given.

vLLM looks for free ports when it needs them, and uses them a moment later: engines that start together take each
other's. So each replica has a range of its own. Who holds the first port of a range has the range; that one is bound
and never used. The kernel sees to it, between users too, and frees it when the process is gone.
"""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

__all__ = ("WIDTH", "Ports", "claimed", "starts")

WIDTH = 16
"""Ports of a range; an engine needs two or three."""
_MOST = 768
"""Ranges that are looked at."""
_VARIABLE = "VLLM_PORT"
_LOWEST, _LAST = 1024, 65_535
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports(msgspec.Struct, frozen=True):
    """A range; the first port is the claim to it.

    Attributes:
        start: The first port; 0 when no range was free, and whoever needs ports finds some by himself.
    """

    start: int

    @property
    def rendezvous(self) -> int:
        """Where the processes of other nodes meet the head."""
        return self.start and self.start + 1

    @property
    def own(self) -> int:
        """From here on vLLM looks for ports by itself."""
        return self.start and self.start + 2


@contextmanager
def claimed(one_engine: bool) -> Iterator[Ports]:
    """Have a range as long as this lasts, or the process; vLLM below us looks for its ports there.

    Args:
        one_engine: Whether there is one engine below us. Several would all start to look at the same port, at once.

    Yields:
        The range.
    """
    with ExitStack() as stack:
        ports = Ports(next((start for start in _in_any_order() if _take(start, stack)), 0))
        if ports.start and one_engine:
            os.environ.setdefault(_VARIABLE, str(ports.own))
        yield ports


def _in_any_order() -> list[int]:
    candidates = starts(*_ephemeral())
    random.shuffle(candidates)
    return candidates


def _take(start: int, stack: ExitStack) -> bool:
    """Claim a range, if nobody has it and all its ports are free; return whether we have it."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind(("", start))
        usable = all(map(_is_free, range(start + 1, start + WIDTH)))
    except OSError:
        usable = False
    if usable:
        stack.enter_context(claim)
    else:
        claim.close()
    return usable


def starts(low: int, high: int) -> list[int]:
    """Return the first ports of all ranges: below what the kernel gives to outgoing connections, or else above.

    Args:
        low: The first that the kernel gives.
        high: The last.
    """
    wide = [(first, last) for first, last in ((_LOWEST, low - 1), (high + 1, _LAST)) if last - first >= WIDTH - 1]
    first, last = wide[0] if wide else (low, high)
    begin = max(first, last + 1 - _MOST * WIDTH)
    return list(range(begin, last + 2 - WIDTH, WIDTH))


def _ephemeral() -> tuple[int, int]:
    try:
        low, high = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        return 32_768, 60_999
    return low, high


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
