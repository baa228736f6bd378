"""Real processes: a head and its members end together, whoever ends first."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.services.process_group import ProcessGroup
from rhapsody_parsl.wire.engine_messages import Rendezvous
from testing import leaks

PLACE = Rendezvous("127.0.0.1", 1)
LASTING = "import time; print('here', flush=True); time.sleep(100)"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(3.0):
        yield


def process(folder: Path, name: str, code: str) -> Backend:
    return Backend([sys.executable, "-c", code], folder / f"{name}.log", grace=0.3)


def group_of(folder: Path, head: str, *members: str) -> ProcessGroup:
    return ProcessGroup(
        process(folder, "head", head),
        lambda place: {f"n{i}": process(folder, f"n{i}", code) for i, code in enumerate(members, 1)},
    )


async def first_end(group: ProcessGroup) -> str:
    """Return how the first end came, once all have ended."""
    reason = await asyncio.wait_for(asyncio.shield(group.ended), 20)
    await asyncio.wait_for(group.stop(), 20)
    return reason


def test_a_members_end_is_the_end_of_all_and_its_words_are_shown(tmp_path: Path) -> None:
    async def check() -> None:
        group = group_of(tmp_path, LASTING, "print('no model', flush=True); raise SystemExit(3)", LASTING)
        group.meet(PLACE)
        assert await first_end(group) == "its part on node n1 ended: it left with exit code 3"
        assert group.blamed.log_tail() == "no model"

    asyncio.run(check())


def test_a_process_that_the_pilot_cannot_look_after_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Backend) -> str:
        raise RuntimeError("no memory")

    async def check() -> None:
        group = group_of(tmp_path, LASTING)
        assert await first_end(group) == "it could not be started: no memory"

    monkeypatch.setattr(Backend, "wait", broken)
    asyncio.run(check())


def test_the_heads_end_is_the_end_of_all(tmp_path: Path) -> None:
    async def check() -> None:
        group = group_of(tmp_path, "import time; time.sleep(1); raise SystemExit(4)", LASTING)
        group.meet(PLACE)
        assert await first_end(group) == "it left with exit code 4"
        assert group.blamed.log.name == "head.log"

    asyncio.run(check())


def test_stopping_leaves_nothing_even_while_members_start(tmp_path: Path) -> None:
    async def check() -> None:
        group = group_of(tmp_path, LASTING, LASTING)
        group.meet(PLACE)
        await asyncio.sleep(0)
        await asyncio.wait_for(group.stop(), 20)
        group.meet(PLACE)
        await group.stop()

    asyncio.run(check())
