"""A door that listens, with stand-ins for engines behind it, for tests of its HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.keys import Keys
from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.passage import Passage
from rhapsody_parsl.door.server import Server
from rhapsody_parsl.door.visits import Visits
from rhapsody_parsl.wire.door import DoorRoutes, ModelRoutes, Route
from testing.streaming_openai import Engine, start

KEY = {"Authorization": "Bearer key"}
PROMPT: dict[str, Any] = {"model": "m", "prompt": "hello"}
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """A door that listens, a client of it, and what stands behind it."""

    def __init__(self, wait: float) -> None:
        self.models, self.counters, self.keys, self.visits = Models(), Counters(), Keys("key"), Visits()
        self.passage = Passage(self.models, self.counters, wait, lambda: None)
        self.client = aiohttp.ClientSession(headers=KEY)
        self.engines: dict[str, Engine] = {}
        self.urls: dict[str, str] = {}
        self.version = 0
        self.in_flight, self.waiting = 256, 10_000
        self.url = ""
        self._closing: list[Callable[[], Awaitable[Any]]] = [self.client.close, self.passage.close]

    async def open(self) -> None:
        app = Server(self.models, self.passage, self.counters, self.keys, visits=self.visits).application()
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._closing.append(runner.cleanup)

    async def engine(self, replica: str, model: str = "inner") -> Engine:
        """Have a stand-in."""
        engine = self.engines[replica] = Engine("secret", model)
        runner = await start(engine, "127.0.0.1", 0)
        self.urls[replica] = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._closing.append(runner.cleanup)
        return engine

    async def breaker(self, replica: str, talk: Talk) -> None:
        """Have something that does not do what an engine does."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                body = b'{"data": [{"id": "inner"}]}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                writer.close()
                return
            await talk(reader, writer)
            writer.transport.abort()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        self.urls[replica] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

        async def close() -> None:
            server.close()
            await server.wait_closed()

        self._closing.append(close)

    def tell(self, *replicas: str, refusal: str = "", others: tuple[ModelRoutes, ...] = ()) -> None:
        """Have these replicas be the model's."""
        self.version += 1
        routes = [Route(replica, self.urls[replica]) for replica in replicas]
        told = ModelRoutes("m", "secret", routes, refusal, in_flight=self.in_flight, waiting=self.waiting)
        self.models.update(DoorRoutes(self.version, [told, *others]))

    async def ask(
        self, path: str = "/v1/completions", headers: dict[str, str] | None = None, **changes: Any
    ) -> tuple[int, Any, Any]:
        """Return status, headers and what was answered."""
        async with self.client.post(self.url + path, json={**PROMPT, **changes}, headers=headers) as response:
            return response.status, response.headers, await response.json()

    async def close(self) -> None:
        for close in self._closing:
            await close()


def within(test: Callable[[Door], Awaitable[None]], wait: float = 20.0) -> None:
    """Run a test on a loop of its own, bounded."""

    async def run() -> None:
        door = Door(wait)
        try:
            async with asyncio.timeout(20):
                await door.open()
                await test(door)
        finally:
            await door.close()

    asyncio.run(run())
