"""A replica with real processes: what is told of it while it dies and comes back. The server is a small stand-in."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.process_group import ProcessGroup
from rhapsody_parsl.services.services import Services
from testing import leaks
from testing.fake_openai import COMMAND
from testing.leases import FakeLeases
from testing.nodes import make_context
from testing.processes import below


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(3.0):
        yield


class Story:
    """Hears every state of the one service."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def services(self, services: Any) -> None:
        """Take a state."""
        state = services[0].state, services[0].detail
        if state not in self.told[-1:]:
            self.told.append(state)

    async def until(self, state: str) -> str:
        """Wait for the state and return its detail."""
        while self.told[-1][0] != state:
            await asyncio.sleep(0.02)
        return self.told[-1][1]


def services_of(folder: Path, story: Story) -> Services:
    node = Node(name="n0", host="here", cores=(0,), real_cores=(0,))
    service = VLLMService("s", "m", cores=0, server="command", executable=COMMAND, restarts=1)
    context = make_context(folder, story, node)
    return Services(lambda each: VLLMKind(each, context), (service,), context, FakeLeases())  # type: ignore[arg-type]  # a model


def test_each_state_is_told_once_with_all_that_is_to_say(tmp_path: Path) -> None:
    """People and tests read the first that they see."""
    story = Story()
    services = services_of(tmp_path, story)

    async def check() -> None:
        services.start()
        try:
            for ending in ("starting", "failed"):
                await story.until("ready")
                (server,) = below(" ".join(COMMAND[:2]))
                server.kill()
                await story.until(ending)
        finally:
            await services.stop()

    asyncio.run(asyncio.wait_for(check(), 60))
    died = "the command python was ended by signal 9"
    (first, _), up, (second, again), up_again, (last, why), *_ = story.told
    assert (first, second, last) == ("starting", "starting", "failed")
    assert up == up_again == ("ready", "")
    assert again.startswith(f"restart 1 of 1: {died}")
    assert died in why
    limit = "(restarts=1, restart_window=600 s)"
    assert f"it died 2 times and answered nothing in between {limit}; it is started again in " in why


def test_a_replica_is_not_ready_any_more_while_the_rest_of_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story()
    services = services_of(tmp_path, story)

    async def check() -> None:
        may_end = asyncio.Event()
        stop = ProcessGroup.stop

        async def slow_stop(group: ProcessGroup) -> None:
            await may_end.wait()
            await stop(group)

        services.start()
        await story.until("ready")
        monkeypatch.setattr(ProcessGroup, "stop", slow_stop)
        (server,) = below(" ".join(COMMAND[:2]))
        server.kill()
        try:
            await asyncio.wait_for(story.until("starting"), 5)
        finally:
            may_end.set()
            await services.stop()

    asyncio.run(asyncio.wait_for(check(), 60))
