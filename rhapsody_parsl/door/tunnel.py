"""The pilot's end of the connections that are made at the driver's address: each goes on to the block's door."""

import asyncio
from collections.abc import Callable

from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.wire.door import Tunnelled, TunnelOpen
from rhapsody_parsl.wire.pipe import Pipe, unavailable
from rhapsody_parsl.wire.streams import Streams

__all__ = ("Tunnel",)

_HOST = "127.0.0.1"
_LOOK_EVERY = 0.1


class Tunnel:
    """Connects to the door for each stream that the driver opens.

    Args:
        send: Sends the driver a message.
        port: Returns where the door listens on this host, 0 while there is none.
        wait: Seconds until a stream is refused while nobody listens there.
    """

    def __init__(self, send: Callable[[Tunnelled], None], port: Callable[[], int], wait: float) -> None:
        self._streams = Streams(send)
        self._port, self._wait = port, wait
        self._pipes: dict[Pipe, asyncio.Task[None]] = {}

    def receive(self, message: Tunnelled) -> None:
        """The driver said something of a stream."""
        if not isinstance(message, TunnelOpen):
            self._streams.receive(message)
            return
        pipe = Pipe(visitor=False)
        pipe.join(self._streams, message.stream)
        connecting = spawn(self._connect(pipe, message.stream), f"stream {message.stream}")
        self._pipes[pipe] = connecting
        connecting.add_done_callback(lambda _: self._pipes.pop(pipe))

    async def stop(self) -> None:
        """End all; idempotent."""
        tasks = list(self._pipes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._streams.end_all()
        await asyncio.sleep(0)  # the loop closes what was aborted

    async def _connect(self, pipe: Pipe, number: int) -> None:
        """Connect, or answer that nobody is there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait
        while not pipe.lost:
            try:
                await loop.create_connection(lambda: pipe, _HOST, self._port())
            except OSError as problem:
                if loop.time() < deadline and self._port():
                    await asyncio.sleep(_LOOK_EVERY)  # a process tells nobody when it listens
                    continue
                self._streams.write(number, unavailable(f"The block's front door does not answer: {problem}"))
                self._streams.finish(number)
            return
