"""1,024 functions on Dragon, awaited with `asyncio.gather`: `python examples/rhapsody/gather.py`."""

import asyncio

import parsl
from parsl import Config, python_app

from rhapsody_parsl import DragonRuntime, RhapsodyExecutor


@python_app
def task(number):
    return f"hello from function {number}"


async def main():
    futures = [asyncio.wrap_future(task(number)) for number in range(1024)]
    said = await asyncio.gather(*futures)
    print(len(said), "tasks;", "the last said:", said[-1])


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[DragonRuntime()])])):
        asyncio.run(main())
