"""`python -m rhapsody_parsl.runtimes.vllm.command SETTINGS`: a replica that supervises an OpenAI-compatible server.

The server is `vllm serve`, or any command the user gives. Requests go to it over HTTP (`relay`).
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from rhapsody_parsl.hosts.process_tree import adopt_orphans
from rhapsody_parsl.runtimes.vllm.adapters import named_adapters
from rhapsody_parsl.runtimes.vllm.command_line import command
from rhapsody_parsl.runtimes.vllm.multi_node import opened
from rhapsody_parsl.runtimes.vllm.ports import claimed
from rhapsody_parsl.runtimes.vllm.progress import Progress
from rhapsody_parsl.runtimes.vllm.relay import Relay
from rhapsody_parsl.runtimes.vllm.request_server import RequestServer
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.services.conversation import Conversation
from rhapsody_parsl.services.supervision import Started, supervise

__all__ = ("main",)

_LOOK_EVERY = 0.25
_PROGRESS_EVERY = 5.0


class _RelayedServer:
    """A command that answers requests over HTTP, as `supervision.Server` has it.

    Args:
        settings: From the pilot.
        conversation: With the pilot.
        program: Of the command.
        started: The command.
    """

    def __init__(self, settings: EngineSettings, conversation: Conversation, program: str, started: Started) -> None:
        self._settings, self._conversation, self._port = settings, conversation, started.port
        name = f"the command {os.path.basename(program)}"
        url = f"http://127.0.0.1:{started.port}/v1"
        self._relay = Relay(
            url,
            settings.secret,
            started.exited,
            lambda how: conversation.lost(f"{name} {how}"),
            named=named_adapters(settings.service) or {},
        )

    async def until_ready(self) -> str:
        """Ask until the server answers, then for one token; return what is wrong with it, or ""."""
        relay, patience = self._relay, self._settings.service.startup_timeout
        deadline = time.monotonic() + patience
        while not await relay.find_model():
            if time.monotonic() > deadline:
                return f"no answer at {relay.base_url}/models within {patience:g} s"
            await asyncio.sleep(_LOOK_EVERY)  # a server tells nobody when it listens
        return await relay.first_token()

    async def serve(self) -> None:
        """Pass requests on."""
        watching = asyncio.create_task(self._watch_progress())
        watching.add_done_callback(self._conversation.vital(asyncio.Task.result))
        url = f"http://{self._settings.public_host}:{self._port}/v1"
        await RequestServer(self._conversation, self._relay, self._settings.service.stall_timeout).serve(
            url, self._port, self._relay.model
        )

    async def _watch_progress(self) -> None:
        """Find the server dead when it hangs: its process lives, and it neither answers nor counts tokens.

        Requests of others, as of the front door, count as ours do.
        """
        relay, limit = self._relay, self._settings.service.stall_timeout
        progress, period, last = Progress(limit, time.monotonic()), min(_PROGRESS_EVERY, limit / 4), (0, "")
        busy = False
        while not progress.stalled(busy, time.monotonic()):
            await asyncio.sleep(period)  # what hangs tells nobody
            sign, busy = await relay.sign(period)
            if relay.answered != last[0] or sign not in ("", last[1]):
                progress.step(time.monotonic())
                last = relay.answered, sign
        self._conversation.lost(f"its server did nothing within stall_timeout={limit:g} s")


async def _run(settings: EngineSettings) -> None:
    """Start the server, wait for one real token, and pass requests on until told to leave."""
    conversation = Conversation(settings)
    one_engine = not settings.service.data_parallel
    with claimed(one_engine) as ports, opened(settings, conversation.tell, ports.rendezvous) as placed:

        def argv(port: int) -> list[str]:
            return command(placed, port, sys.executable)

        def server(started: Started) -> _RelayedServer:
            return _RelayedServer(placed, conversation, argv(started.port)[0], started)

        await supervise(placed, conversation, argv=argv, server=server)


def main(arguments: list[str]) -> None:
    """Serve until told to leave or the pilot is gone."""
    adopt_orphans()
    asyncio.run(_run(EngineSettings.read(Path(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
