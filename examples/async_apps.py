"""Apps that are coroutines, and a driver that awaits them: `python examples/async_apps.py`."""

import asyncio

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor


@python_app
async def square(number):  # awaited in a worker of the block
    import asyncio  # noqa: PLC0415 - the function travels without its script

    await asyncio.sleep(0.01)  # a request to a service, say
    return number * number


async def main():
    futures = [asyncio.wrap_future(square(number)) for number in range(8)]
    async with asyncio.timeout(60):
        return await asyncio.gather(*futures)


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])])):
        print(asyncio.run(main()))
