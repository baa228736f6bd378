"""Somebody on the way from one host's values to the other."""

import asyncio
import contextlib
import math

from rhapsody_parsl.agents.value_port import ValuePort

HERE = "127.0.0.1"


class Between:
    """Somebody between two ports who cuts the first connection.

    Args:
        port: The one that gives.
        most: After so many bytes.
        asleep: Seconds in which nothing is passed on, before.
        pause: Seconds between 64 kB that are passed on.
    """

    def __init__(self, port: ValuePort, most: float, asleep: float, pause: float = 0.0) -> None:
        self._there, self._most, self._asleep, self._pause = port.open().split(":"), most, asleep, pause
        self.passed: list[int] = []
        self._connections: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> str:
        """Return the address."""
        self._server = await asyncio.start_server(self._meet, HERE, 0)
        return f"{HERE}:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._connections)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(asyncio.create_task(self._pass_on(reader, writer)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, most = len(self.passed), math.inf if self.passed else self._most
        self.passed.append(0)
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        asks = asyncio.create_task(self._ask(reader, there_writer))
        with contextlib.suppress(ConnectionError):
            while self.passed[number] < most and (data := await there_reader.read(1 << 16)):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(self._pause)
                self.passed[number] += len(data)
        await asyncio.sleep(self._asleep if number == 0 else 0)
        for each in (writer, there_writer):
            each.close()
        await asks

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
