"""A program of a user of Academy: agents that act, ask each other, and shut down. It knows nothing of this package."""

import asyncio
from concurrent.futures import Executor
from typing import Any

from academy.agent import Agent, action, loop
from academy.exchange import ExchangeFactory
from academy.handle import Handle
from academy.manager import Manager


class Counter(Agent):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    @action
    async def add(self, by: int) -> int:
        self.count += by
        return self.count


class Leader(Agent):
    """Has others count, and looks at itself by a loop meanwhile."""

    def __init__(self, others: list[Handle[Counter]]) -> None:
        super().__init__()
        self.others, self.looked = others, 0

    @loop
    async def look(self, shutdown: asyncio.Event) -> None:
        self.looked += 1
        await shutdown.wait()

    @action
    async def total(self, by: int) -> int:
        return sum([await other.add(by) for other in self.others])

    @action
    async def looks(self) -> int:
        return self.looked


async def run(factory: ExchangeFactory[Any], executor: Executor, **submit: Any) -> list[int]:
    """Launch three agents and ask them."""
    async with await Manager.from_exchange_factory(factory, executors=executor) as manager:
        counters = [await manager.launch(Counter, args=(start,), submit_kwargs=submit) for start in (1, 10)]
        leader = await manager.launch(Leader, args=(counters,), submit_kwargs=submit)
        answers = [await leader.total(2), await counters[0].add(1), await leader.looks()]
        await manager.shutdown(leader, blocking=True)
    return answers
