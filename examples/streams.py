"""An app that gives what it finds as it finds it, and three ways to read that: `python examples/streams.py`."""

import asyncio

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, cancel, stream


@python_app
def walk(steps, seed):  # runs in a worker of the block
    import random  # noqa: PLC0415 - the function travels without its script

    place, dice = 0, random.Random(seed)  # noqa: S311 - no secret
    for _ in range(steps):
        place += dice.choice((-1, 1))
        yield place
    return place


async def farthest(future):
    best = 0
    async for place in stream(future):
        best = max(best, abs(place))
    return best


async def side_by_side():
    return await asyncio.gather(*(farthest(walk(100, seed)) for seed in range(4)))


def main():
    walking = walk(1_000_000, 1)
    for place in stream(walking):  # as they come; the walk stops soon after this loop
        if place in (-5, 5):
            break
    print("stopped at", abs(place), "with result", walking.result())

    print("farthest:", asyncio.run(side_by_side()))

    heard: list[int] = []
    short = walk(10, 2)
    stream(short, heard.append)
    print("a callback heard the last place:", short.result() == heard[-1])

    endless = walk(10**9, 3)
    print("cancelled:", cancel(endless), type(endless.exception()).__name__)


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])])):
        main()
