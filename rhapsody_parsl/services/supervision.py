"""A command that serves: started on a port that is kept for it, asked until it is ready, and watched to its end."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.ending import cause_of, how_ended
from rhapsody_parsl.services.conversation import Conversation, bind
from rhapsody_parsl.services.settings import Settings

__all__ = ("Server", "Started", "supervise")


class Started:
    """A command that was started.

    Attributes:
        pid: Its process.
        port: Where it is to listen.
        exited: Done with its exit code.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid, self.port = process.pid, port
        self.exited = asyncio.ensure_future(process.wait())


class Server(Protocol):
    """A command that was started, as its kind sees it."""

    async def until_ready(self) -> str:
        """Wait until it is ready; return what is wrong with it, or ""."""

    async def serve(self) -> None:
        """Tell the pilot that it is ready, and listen to it; returns never."""


async def supervise(
    settings: Settings,
    conversation: Conversation,
    *,
    argv: Callable[[int], Sequence[str]],
    server: Callable[[Started], Server],
    fixed_port: bool = False,
) -> None:
    """Start a command and be there until it ends, or we are told to leave.

    Args:
        settings: From the pilot.
        conversation: With it.
        argv: Returns program and arguments, for a port.
        server: Makes of the command what its kind sees.
        fixed_port: Whether it has to be the port of the settings.
    """
    # Bound but not listening: nobody else is given the port, and a server may still take it.
    kept = bind(settings.host, settings.port)
    port = kept.getsockname()[1]
    if fixed_port and port != settings.port:
        taken = f"port={settings.port} is taken on {socket.gethostname()}"
        conversation.fail(ServiceFailed(settings.name, f"{taken}. Give another, or leave port out for a free one"))
    words = argv(port)
    try:
        started = Started(await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL), port)
    except OSError as problem:
        conversation.fail(ServiceFailed(settings.name, f"{words[0]}: {problem.strerror}"))
    code = await _watch(started.exited, server(started), conversation)
    conversation.lost(f"the command {os.path.basename(words[0])} {how_ended(code)}", killed=cause_of(code) == "killed")


async def _watch(exited: "asyncio.Future[int]", server: Server, conversation: Conversation) -> int:
    """Return the exit code of a command, once it has ended."""
    ready = asyncio.ensure_future(server.until_ready())
    await _first(exited, ready)
    if not exited.done() and (wrong := ready.result()):
        conversation.fail(ServiceFailed(conversation.service, wrong))
    if not exited.done():
        serving = asyncio.ensure_future(server.serve())
        await _first(exited, serving)
        if serving.done():
            serving.result()  # it returns never: it broke, and nobody listens to the pilot any more
    return await exited


async def _first(*futures: "asyncio.Future[Any]") -> None:
    await asyncio.wait(futures, return_when="FIRST_COMPLETED")
