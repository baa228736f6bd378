import asyncio
from collections.abc import Callable

import pytest

from rhapsody_parsl.hosts import pace as pace_module
from rhapsody_parsl.hosts.pace import Pace


def test_so_many_start_at_once_and_the_others_in_order() -> None:
    async def act() -> None:
        started: list[str] = []
        pace = Pace(2)
        for name in "abcde":
            pace.start(name, _noting(started, name))
        assert started == ["a", "b"]
        assert pace.waits("c")
        pace.over("b")
        pace.over("b")
        assert started == ["a", "b", "c"]
        pace.over("d")  # wanted no more
        pace.over("a")
        assert started == ["a", "b", "c", "e"]
        assert not pace.waits("d")
        pace.start("f", _noting(started, "f"))
        pace.close()
        pace.over("c")
        assert "f" not in started

    asyncio.run(act())


def test_one_that_comes_to_nothing_gives_its_place_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "_LONGEST", 0.01)

    async def act() -> None:
        both = asyncio.Event()
        pace = Pace(1)
        pace.start("a", lambda: None)
        pace.start("b", both.set)
        assert not both.is_set()
        async with asyncio.timeout(10):
            await both.wait()
        pace.close()

    asyncio.run(act())


def _noting(started: list[str], name: str) -> Callable[[], None]:
    return lambda: started.append(name)
