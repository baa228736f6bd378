"""The driver's address and the pilot's end of it, joined by no link: messages go from one to the other on the loop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rhapsody_parsl.door.tunnel import Tunnel
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.front_door import FrontDoor
from rhapsody_parsl.wire.door import DoorKey, DoorKeys, TunnelData, Tunnelled
from rhapsody_parsl.wire.streams import WINDOW
from testing.nodes import make_inventory

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Joined:
    """A front door on the loopback, and blocks with doors of their own behind it.

    Attributes:
        closed: How many connections the doors saw end.
        told: What the blocks' pilots sent.
        keys: Which keys the blocks were told.
    """

    def __init__(self, wait: float = 30.0) -> None:
        self.loop, self.blocks, self.wait = asyncio.get_running_loop(), Blocks(several=True), wait
        self.front = FrontDoor(self.loop, self.blocks, self._to_pilot, wait)
        self.tunnels: dict[Block, Tunnel] = {}
        self.servers: list[asyncio.Server] = []
        self.closed = asyncio.Semaphore(0)
        self.told: list[Tunnelled] = []
        self.keys: list[tuple[Block, list[DoorKey]]] = []

    def _to_pilot(self, block: Block, message: Tunnelled | DoorKeys) -> None:
        if isinstance(message, DoorKeys):
            self.keys.append((block, message.keys))
        elif tunnel := self.tunnels.get(block):
            self.loop.call_soon(tunnel.receive, message)

    async def block(self, number: str, talk: Callable[..., Awaitable[None]] | None) -> Block:
        """Have a block with a door, or without one."""
        port = 0
        if talk:
            self.servers.append(await asyncio.start_server(self._watched(talk), "127.0.0.1", 0))
            port = self.servers[-1].sockets[0].getsockname()[1]
        block = Block(number, 0.0, True, f"{number}/a")
        block.inventory = make_inventory()

        def to_driver(message: Tunnelled) -> None:
            self.told.append(message)
            self.front.receive(block, message)

        self.tunnels[block] = Tunnel(to_driver, lambda: port, self.wait)
        self.blocks.add(block)
        self.front.joined(block)
        return block

    def _watched(self, talk: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()
                self.closed.release()

        return watched

    async def lose(self, block: Block) -> None:
        self.blocks.remove(block)
        self.front.left(block)
        await self.tunnels.pop(block).stop()

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", await self.front.open(0))

    async def close(self) -> None:
        for tunnel in self.tunnels.values():
            await tunnel.stop()
        self.front.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for server in self.servers:
            server.close()
            await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def within(test: Callable[[Joined], Awaitable[None]], wait: float = 30.0) -> None:
    """Run a test on a loop of its own, bounded."""

    async def run() -> None:
        joined = Joined(wait)
        try:
            async with asyncio.timeout(20):
                await test(joined)
        finally:
            await joined.close()

    asyncio.run(run())


def test_bytes_go_to_the_blocks_door_and_back() -> None:
    async def test(joined: Joined) -> None:
        await joined.block("0", echo)
        reader, writer = await joined.connect()
        large = bytes(range(256)) * 8192
        writer.write(large)
        assert await reader.readexactly(len(large)) == large
        writer.close()
        await joined.closed.acquire()

    within(test)


def test_blocks_are_told_the_keys_that_there_are_and_each_change() -> None:
    async def test(joined: Joined) -> None:
        key = DoorKey("ann", "hash", 60)
        first = await joined.block("0", echo)
        await asyncio.sleep(0)
        assert not joined.keys, "there are none"
        joined.front.take_keys([key])
        while not joined.keys:
            await asyncio.sleep(0)
        second = await joined.block("1", echo)
        while len(joined.keys) < 2:
            await asyncio.sleep(0)
        joined.front.take_keys([])
        while len(joined.keys) < 4:
            await asyncio.sleep(0)
        assert joined.keys == [(first, [key]), (second, [key]), (first, []), (second, [])]

    within(test)


def test_a_client_that_goes_is_gone_at_the_door_though_its_answer_is_under_way() -> None:
    async def test(joined: Joined) -> None:
        await joined.block("0", flood)
        reader, writer = await joined.connect()
        await reader.readexactly(WINDOW)
        writer.transport.abort()
        await joined.closed.acquire()

    within(test)


def test_what_the_door_said_before_its_end_arrives() -> None:
    async def bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"b" * 3 * WINDOW)

    async def test(joined: Joined) -> None:
        await joined.block("0", bye)
        reader, writer = await joined.connect()
        assert await reader.read() == b"b" * 3 * WINDOW
        writer.close()

    within(test)


def test_a_slow_reader_holds_up_nobody() -> None:
    async def test(joined: Joined) -> None:
        await joined.block("0", flood)
        _, slow = await joined.connect()
        reader, quick = await joined.connect()
        await reader.readexactly(200 * WINDOW)
        sent = sum(len(m.data) for m in joined.told if isinstance(m, TunnelData) and m.stream == 1)
        assert sent <= 64 * WINDOW, "what is on its way is bounded; the kernel holds up to 10 MB of it"
        slow.transport.abort()
        quick.transport.abort()

    within(test)


def test_a_connection_goes_to_the_block_with_the_fewest() -> None:
    def names(name: bytes) -> Callable[..., Awaitable[None]]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(name)
            await reader.read()

        return talk

    async def test(joined: Joined) -> None:
        one = await joined.block("0", names(b"0"))
        await joined.block("1", names(b"1"))
        open_ = [await joined.connect() for _ in range(4)]
        assert sorted([await reader.readexactly(1) for reader, _ in open_]) == [b"0", b"0", b"1", b"1"]
        one.closing = True
        more = [await joined.connect() for _ in range(2)]
        assert [await reader.readexactly(1) for reader, _ in more] == [b"1", b"1"]
        for _, writer in [*open_, *more]:
            writer.close()

    within(test)


def test_a_block_takes_its_connections_with_it_and_the_next_serves_at_the_same_address() -> None:
    async def test(joined: Joined) -> None:
        block = await joined.block("0", echo)
        reader, writer = await joined.connect()
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        await joined.lose(block)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await joined.connect()
        writer.write(b"b")
        await asyncio.sleep(0.05)
        await joined.block("1", echo)
        assert await reader.readexactly(1) == b"b"
        writer.close()

    within(test)


@pytest.mark.parametrize("there", [False, True])
def test_who_waits_in_vain_is_told_when_to_come_again(there: bool) -> None:
    async def test(joined: Joined) -> None:
        if there:
            await joined.block("0", None)
        reader, writer = await joined.connect()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5" in head
        assert b'"type":"service_unavailable"' in body
        assert (b"openai_wait=0.1 s" in body) is not there
        writer.close()

    within(test, wait=0.1)


@pytest.mark.parametrize("answered", [False, True])
def test_who_has_no_answer_yet_when_the_door_is_lost_is_told_to_ask_again(answered: bool) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        if answered:
            writer.write(b"part")
            await writer.drain()
        writer.transport.abort()

    async def test(joined: Joined) -> None:
        await joined.block("0", die)
        reader, writer = await joined.connect()
        writer.write(b"POST")
        said = await reader.read()
        if answered:
            assert said == b"part"
        else:
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in said
            assert b"was lost with this request" in said
        writer.close()

    within(test)


def test_who_has_no_answer_yet_when_the_block_is_lost_is_told_to_ask_again() -> None:
    async def test(joined: Joined) -> None:
        heard = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(4)
            heard.set()
            await reader.read()

        block = await joined.block("0", silent)
        reader, writer = await joined.connect()
        writer.write(b"POST")
        await heard.wait()
        await joined.lose(block)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()

    within(test)
