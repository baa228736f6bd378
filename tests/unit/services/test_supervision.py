"""Who stands beside a command: when that breaks it does not stay, deaf, with the command."""

import asyncio
from typing import Any, cast

import pytest

from rhapsody_parsl.services.supervision import _watch


class Broken:
    """Is ready, and then breaks."""

    async def until_ready(self) -> str:
        return ""

    async def serve(self) -> None:
        raise LookupError("no such loop")


def test_one_that_listens_no_more_leaves_while_its_command_lives() -> None:
    async def run() -> None:
        lives: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(LookupError, match="no such loop"):
            await asyncio.wait_for(_watch(lives, Broken(), cast("Any", None)), 10)

    asyncio.run(run())
