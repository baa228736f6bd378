"""How the answers of one replica grow to those of four, with lengths by chance: through apps, and at the front door.

`python -m benchmarks replicas` serves a stand-in for an engine once by one replica, and once by four. It works on so
many requests at once, and each token takes its time. Four times as many requests are asked of the four: all at once by
apps, by so many clients as the replicas take at the driver's address, by one app that returns a list of prompts, and by
one client with a list. Says tokens per second, and the share of four times as many as one replica gives.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from parsl.providers import LocalProvider

from benchmarks.library import machine, sides
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from testing.streaming_openai import COMMAND

COUNTS = (1, 4)
SLOTS, TOKEN, LONGEST = 16, 0.02, 50
"""Requests that an engine works on at once; seconds per token; tokens of the longest answer."""
EACH, QUICK = 320, 48
"""Requests per replica."""
IN_FLIGHT = 2 * SLOTS
TIMEOUT = 120.0
Ask = Callable[[RhapsodyExecutor, str, Sequence[int]], None]


def prompt(text: str) -> list[dict[str, str]]:
    """Return what the model is asked."""
    return [{"role": "user", "content": text}]


@contextmanager
def block() -> Iterator[RhapsodyExecutor]:
    """Have a block that serves the stand-in by each number of replicas."""
    services = [
        VLLMService(
            f"m{count}", f"replicas-{os.getpid()}", cores=0, replicas=count, requests_in_flight=IN_FLIGHT,
            server="command", executable=COMMAND, env={"ENGINE_TOKEN": str(TOKEN), "ENGINE_SLOTS": str(SLOTS)},
        )
        for count in COUNTS
    ]  # fmt: skip
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    with RhapsodyExecutor("x", provider, runtimes=[LocalRuntime()], services=services, cores_per_node=1) as made:
        for service in services:
            made.services[service.name].wait_ready(TIMEOUT)
        yield made


def by_apps(executor: RhapsodyExecutor, model: str, lengths: Sequence[int]) -> None:
    """Ask by apps, all at once."""
    futures = [
        executor.submit(prompt, {"service": model, "max_tokens": length}, f"request {number}")
        for number, length in enumerate(lengths)
    ]
    wait(futures, TIMEOUT)
    for future, length in zip(futures, lengths, strict=True):
        sides.check(future.result(0) == "tok " * length, "another answer")


def listed(prompts: list[str]) -> list[str]:
    """Return what the model is asked."""
    return prompts


def by_a_list(executor: RhapsodyExecutor, model: str, lengths: Sequence[int]) -> None:
    """Ask by one app, whose prompts say how long their answers are to be."""
    prompts = [f"say {length}" for length in lengths]
    found = executor.submit(listed, {"service": model, "max_tokens": LONGEST}, prompts).result(TIMEOUT)
    sides.check(found == ["tok " * length for length in lengths], "another answer")


def by_a_list_at_the_door(executor: RhapsodyExecutor, model: str, lengths: Sequence[int]) -> None:
    """Ask the same by one client at the driver's address."""
    asyncio.run(_ask_a_list(executor.openai_url(), executor.openai_key, model, lengths))


async def _ask_a_list(url: str, key: str, model: str, lengths: Sequence[int]) -> None:
    asked = {"model": model, "prompt": [f"say {length}" for length in lengths], "max_tokens": LONGEST}
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/completions", json=asked) as answer,
    ):
        found = [choice["text"] for choice in (await answer.json())["choices"]]
    sides.check(found == ["tok " * length for length in lengths], "another answer")


def by_the_door(executor: RhapsodyExecutor, model: str, lengths: Sequence[int]) -> None:
    """Ask at the driver's address, by as many clients as its replicas take requests."""
    asyncio.run(_ask_all(executor.openai_url(), executor.openai_key, model, lengths))


async def _ask_all(url: str, key: str, model: str, lengths: Sequence[int]) -> None:
    waiting = iter(lengths)
    clients = IN_FLIGHT * int(model.removeprefix("m"))
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}, connector=connections) as session:
        await asyncio.gather(*(_ask(session, f"{url}/chat/completions", model, waiting) for _ in range(clients)))


async def _ask(session: aiohttp.ClientSession, url: str, model: str, waiting: Iterator[int]) -> None:
    for length in waiting:
        async with session.post(
            url, json={"model": model, "messages": prompt("request"), "max_tokens": length}
        ) as answer:
            said = (await answer.json())["choices"][0]["message"]["content"]
            sides.check(said == "tok " * length, "another answer")


WAYS: dict[str, Ask] = {
    "apps": by_apps,
    "the front door": by_the_door,
    "one app, a list": by_a_list,
    "the front door, a list": by_a_list_at_the_door,
}


def rates(executor: RhapsodyExecutor, each: int, seed: int) -> dict[str, dict[int, float]]:
    """Return tokens per second of each way, by the number of replicas."""
    found: dict[str, dict[int, float]] = {}
    for name, ask in WAYS.items():
        for count in COUNTS:
            dice = random.Random(seed)  # noqa: S311 - an experiment
            lengths = [dice.randint(1, LONGEST) for _ in range(each * count)]
            began = time.perf_counter()
            ask(executor, f"m{count}", lengths)
            found.setdefault(name, {})[count] = sum(lengths) / (time.perf_counter() - began)
    return found


def main() -> None:
    """Run, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with block() as executor:
            rates(executor, 2 * SLOTS, 0)  # warms up
            each, repeat = (QUICK, 1) if arguments.quick else (EACH, arguments.repeat)
            runs = [rates(executor, each, seed) for seed in range(1, repeat + 1)]
    report(runs, out)


def report(runs: Sequence[dict[str, dict[int, float]]], out: Path) -> None:
    """Print the table, of each way the run with the share in the middle; write JSON."""
    rows = []
    for way in WAYS:
        share, one, four = sorted((run[way][4] / (4 * run[way][1]), run[way][1], run[way][4]) for run in runs)[
            len(runs) // 2
        ]
        rows.append([way, f"{one:,.0f}", f"{four:,.0f}", f"{share:.2f}"])
    columns = ["asked by", "one replica, tokens/s", "four", "of four times one"]
    machine.show(f"Answers of 1 to {LONGEST} tokens, by chance", columns, rows)
    print(f"written: {machine.write(out, 'replicas', {'runs': list(runs)})}")


if __name__ == "__main__":
    main()
