"""The ways from a node agent to the pilot: by the agent of another host where there is one, else straight.

A way on which nothing comes is left for the other one. So the loss of the other host, and of the way to it, is a cut.
"""

import asyncio
import contextlib
import logging
from typing import NamedTuple

from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection

__all__ = ("COMES_WITHIN", "Way", "Ways")

log = logging.getLogger(__name__)

_SILENT = 1 / 4
"""Part of the threshold in which nothing comes on a way that is to be left."""
COMES_WITHIN = 1 / 2
"""Part of the threshold that the other host may take longer at first: it starts when we do."""
_BACK_AFTER, _BACK_AT_LAST = 60.0, 3600.0
"""Seconds after which the way by the other host is looked at again; each time twice as long, until it is heard."""


class Way(NamedTuple):
    """One way.

    Attributes:
        address: Of who listens there.
        keys: To be let in.
    """

    address: str
    keys: Keys


class Ways:
    """Sees to it that a connection is on the better of two ways.

    Args:
        connection: On the first.
        first: By another host.
        second: To the pilot.
        period: Seconds between signs of life.
        threshold: Seconds of silence after which the pilot counts as lost.
    """

    def __init__(
        self, connection: AsyncTcpConnection, first: Way, second: Way, *, period: float, threshold: float
    ) -> None:
        self._connection, self._ways, self._at = connection, (first, second), 0
        self._period, self._patience = period, _SILENT * threshold
        self._loop = asyncio.get_running_loop()
        self._looked, self._heard = self._loop.time(), 0
        self._silence, self._since, self._back_after = -COMES_WITHIN * threshold, 0.0, _BACK_AFTER
        self._probe: asyncio.Task[bool] | None = None
        self._timer = self._loop.call_later(period, self._look)

    def cut(self) -> None:
        """The connection has ended: the other way is looked at soon."""
        self._silence = max(self._silence, self._patience)

    def close(self) -> None:
        """Look no more; idempotent."""
        self._timer.cancel()
        if self._probe:
            self._probe.cancel()

    def _look(self) -> None:
        passed = min(self._loop.time() - self._looked, 2 * self._period)
        self._looked = self._loop.time()
        self._timer = self._loop.call_later(self._period, self._look)
        self._since += passed
        self._silence += passed
        if self._heard != self._connection.heard:
            self._heard, self._silence = self._connection.heard, 0.0
            if self._at == 0:
                self._back_after = _BACK_AFTER
        if self._silence < self._patience and not (self._at and self._since > self._back_after):
            self._forget_probe()
        elif self._probe is None:
            self._probe = spawn(self._answers(self._ways[1 - self._at].address), "look at the other way")
        elif self._probe.done():
            if self._at and self._silence < self._patience:
                self._since, self._back_after = 0.0, min(2 * self._back_after, _BACK_AT_LAST)
            if self._probe.result():
                self._turn()
            self._forget_probe()

    def _turn(self) -> None:
        """Take the other way."""
        self._at = 1 - self._at
        self._silence = self._since = 0.0
        way = self._ways[self._at]
        log.warning("the pilot is spoken to by %s now", way.address)
        self._connection.turn(way.address, way.keys)

    def _forget_probe(self) -> None:
        if self._probe:
            self._probe.cancel()
            self._probe = None

    async def _answers(self, address: str) -> bool:
        """Whether ZeroMQ greets us there; a while later, for who was cut off with us may be heard again meanwhile.

        So neither a pilot that is not reached for a while, nor one that does nothing, has thousands of us come to it.
        """
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        try:
            async with asyncio.timeout(self._patience):
                reader, writer = await asyncio.open_connection(host, int(port))
                with contextlib.closing(writer):
                    greeted = bool(await reader.read(1))
        except OSError:  # which those of names and of time are
            return False
        await asyncio.sleep(self._patience / 2)
        return greeted
