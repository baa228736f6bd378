"""A host of a block that is this one: only the way to it is a plain `env`."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.hosts.process import Backend
from testing.processes import below
from testing.waiting import until

LOG = "node-agent-other.log"
SLEEP = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(100)"


class Way:
    """A way to the pilot that can be cut: connections end, and for a while nobody gets through.

    Attributes:
        carried: Bytes so far, both ways.
    """

    def __init__(self) -> None:
        self.carried = 0
        self._cut = False
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._carriers: set[asyncio.Task[None]] = set()

    async def open(self, host: Host) -> None:
        host.listener._listener.port = await self.to(host.listener._listener.port)

    async def to(self, port: int, host: str = "127.0.0.1") -> int:
        """Lead to a port of this host; return the port that does."""
        self._to = host, port
        self._server = await asyncio.start_server(self._carry_both, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _carry_both(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        if self._cut:
            near_end.transport.abort()
            return
        try:
            far, far_end = await asyncio.open_connection(*self._to)
        except OSError:
            near_end.transport.abort()
            return
        self._writers |= {near_end, far_end}
        for reader, writer in ((near, far_end), (far, near_end)):
            self._carriers.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._thawed.wait()
                self.carried += len(data)
                writer.write(data)
        writer.close()

    def freeze(self, frozen: bool = True) -> None:
        """Hold all that is said, as the kernel does for a process that does nothing."""
        (self._thawed.clear if frozen else self._thawed.set)()

    def cut(self, cut: bool = True) -> None:
        self._cut = cut
        self.freeze(False)
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        self._server.close()
        await asyncio.gather(*self._carriers)


def host_at(  # noqa: PLR0913 - as many facts, most of them as usual
    folder: Path,
    log: Path,
    way: tuple[str, ...] = ("env",),
    threshold: float = 5.0,
    address: str = "127.0.0.1",
    on_change: Callable[[str, str], None] = lambda _host, _problem: None,
    use_every: float = 0.0,
) -> Host:
    listener = AgentListener(address, 1, period=0.1, threshold=threshold, bind="tcp://127.0.0.1", use_every=use_every)
    starter = Starter(NodeLauncher("own", way), folder, log.parent, listener)
    return Host("other", starter=starter, listener=listener, on_change=on_change)


def with_host(  # noqa: PLR0913 - as above
    folder: Path,
    story: Callable[[Host], Awaitable[None]],
    threshold: float = 5.0,
    way: tuple[str, ...] = ("env",),
    log: Path | None = None,
    on_change: Callable[[str, str], None] = lambda _host, _problem: None,
    use_every: float = 0.0,
) -> None:
    log = log or folder.parent / LOG

    async def run() -> None:
        host = host_at(folder, log, way, threshold, on_change=on_change, use_every=use_every)
        assert await host.start(), (host.problem, log.read_text())
        try:
            await story(host)
        finally:
            await host.stop()
            await host.stop()
            host.listener.close()

    asyncio.run(run())


def node_agents() -> list[psutil.Process]:
    """Return the keeper and the node agent itself."""
    (keeper,) = (process for process in below("node_agent.py") if "node_agent.py" in process.cmdline()[3])
    (agent,) = (process for process in keeper.children() if "agent.py" in process.cmdline()[3])
    return [keeper, agent]


async def sleeper(host: Host, folder: Path, before: str = "", grace: float = 0.3) -> tuple[Backend, int]:
    note = folder.parent / "pid"
    note.unlink(missing_ok=True)
    code = f"{before}\n{SLEEP}"
    backend = Backend([sys.executable, "-c", code, str(note)], folder.parent / "log", host=host, grace=grace)
    await backend.start()
    await asyncio.to_thread(until, lambda: note.exists() and note.read_text(), 20)
    return backend, int(note.read_text())
