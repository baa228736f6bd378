"""The front door beside vllm-router, on prompts that begin alike: blocks that were in a cache, and answers per second.

`python -m benchmarks routers --router PATH` puts both before stand-in engines of one kind, which keep the blocks of
prompts that they read last. Clients ask again as soon as they have their answer. vllm-router is a wheel: install it in
an environment of its own, and give the path of its command. Without it only our door is measured: as it is, and with
replicas that take turns.
"""

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from benchmarks.library import machine, sides
from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.keys import Keys
from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.passage import Passage
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.door.server import Server
from rhapsody_parsl.door.visits import Visits
from rhapsody_parsl.wire.door import DoorRoutes, ModelRoutes, Route
from testing.ports import free_port
from testing.streaming_openai import BLOCK, COMMAND

ENGINES, GROUPS, CLIENTS = 4, 24, 48
SHARED, TAIL = 24, 100
"""Blocks with which the prompts of a group begin; further characters of each, which are its own."""
ENGINE = {"ENGINE_CACHE": "200", "ENGINE_READ": "0.01", "ENGINE_TOKEN": "0.01", "ENGINE_SLOTS": "64"}
TOKENS, REQUESTS = 20, 2000
KEY, MODEL = "key", "model"
_PATIENCE = 60.0
Front = Callable[[Sequence[str]], Any]


class Measured(NamedTuple):
    """What came of a side.

    Attributes:
        hits: The share of blocks that were in a cache.
        rate: Answers per second.
        spread: Requests of the busiest engine over those of the least busy one.
    """

    hits: float
    rate: float
    spread: float


@asynccontextmanager
async def program(command: Sequence[str], url: str, **variables: str) -> AsyncIterator[str]:
    """Run a server until it is left; yield its address when it answers."""
    process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        await _until_well(process, url)
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _until_well(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    async with aiohttp.ClientSession() as client:
        while True:
            sides.check(process.poll() is None and time.monotonic() < deadline, f"{process.args!r} does not answer")
            try:
                async with client.get(f"{url}/health") as answer:
                    if answer.status < web.HTTPBadRequest.status_code:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def engine() -> Any:
    """Return a stand-in engine, to be entered."""
    port = free_port()
    blanks = {"host": "127.0.0.1", "port": str(port), "api_key": KEY, "model": MODEL}
    return program([word.format(**blanks) for word in COMMAND], f"http://127.0.0.1:{port}", **ENGINE)


def router(path: str, policy: str) -> Front:
    """Return vllm-router as a front."""

    def front(urls: Sequence[str]) -> Any:
        port, metrics = free_port(), free_port()
        command = [
            path, "--host", "127.0.0.1", "--port", str(port), "--policy", policy, "--prometheus-port", str(metrics),
            "--worker-startup-check-interval", "1", "--worker-urls", *urls,
        ]  # fmt: skip
        return program(command, f"http://127.0.0.1:{port}")

    return front


class _InTurn:
    """Replicas that take turns.

    Args:
        router: Theirs.
    """

    def __init__(self, router: Router) -> None:
        self._seats = itertools.cycle(router)

    def choose(self, prefix: Sequence[int], session: str, now: float, suspect: bool = False) -> Seat | None:
        """Return the next one."""
        seat = next(self._seats)
        seat.held += 1
        return seat


@asynccontextmanager
async def door(urls: Sequence[str], in_turn: bool = False) -> AsyncIterator[str]:
    """Have our door before these engines."""
    models, counters = Models(), Counters()
    passage = Passage(models, counters, _PATIENCE, lambda: None)
    routes = [Route(f"r{number}", f"{url}/v1") for number, url in enumerate(urls)]
    models.update(DoorRoutes(1, [ModelRoutes(MODEL, KEY, routes)]))
    for model in models if in_turn else ():
        model.router.choose = _InTurn(model.router).choose  # type: ignore[method-assign]  # of this one alone
    app = Server(models, passage, counters, Keys(KEY), visits=Visits()).application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await passage.close()


def prompts(count: int) -> list[str]:
    """Return prompts, each of which begins as those of its group do."""
    dice = random.Random(1)  # noqa: S311 - an experiment
    groups = [f"{group:04} {'x' * (BLOCK * SHARED - 5)}" for group in range(GROUPS)]
    return [dice.choice(groups) + f"{number:0{TAIL}}" for number in range(count)]


async def measure(front: Front, count: int) -> Measured:
    """Put a front before new engines, and ask there."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(engine()) for _ in range(ENGINES)]
        url = await stack.enter_async_context(front(urls))
        client = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}))
        waiting, began = iter(prompts(count)), time.perf_counter()
        await asyncio.gather(*(_ask(client, url, waiting) for _ in range(CLIENTS)))
        seconds = time.perf_counter() - began
        told = [await _told(client, each) for each in urls]
    hits, misses, done = (sum(one[name] for one in told) for name in ("hits", "misses", "done"))
    sides.check(done >= count, f"{count - done} requests are lacking")
    each = [one["done"] for one in told]
    return Measured(hits / (hits + misses), count / seconds, max(each) / max(1, min(each)))


async def _ask(client: aiohttp.ClientSession, url: str, waiting: Any) -> None:
    for prompt in waiting:
        body = {"model": MODEL, "prompt": prompt, "max_tokens": TOKENS}
        async with client.post(f"{url}/v1/completions", json=body) as answer:
            sides.check(answer.status == web.HTTPOk.status_code, f"HTTP {answer.status}: {await answer.text()}")
            await answer.read()


async def _told(client: aiohttp.ClientSession, url: str) -> dict[str, int]:
    async with client.get(f"{url}/health") as answer:
        told: dict[str, int] = await answer.json()
        return told


def fronts(path: str | None) -> dict[str, Front]:
    """Return what is compared, by name."""
    found: dict[str, Front] = {"the front door": door, "the front door, in turn": partial(door, in_turn=True)}
    for policy in ("cache_aware", "power_of_two", "round_robin") if path else ():
        found[f"vllm-router, {policy}"] = router(path or "", policy)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--router", default=shutil.which("vllm-router"), help="path of vllm-router")
    arguments = parser.parse_args()
    count = REQUESTS // (5 if arguments.quick else 1)
    runs: dict[str, list[Measured]] = {}
    for _ in range(1 if arguments.quick else arguments.repeat):
        for name, front in fronts(arguments.router).items():
            measuring: Coroutine[Any, Any, Measured] = measure(front, count)
            runs.setdefault(name, []).append(asyncio.run(measuring))
    report(runs, arguments.out)


def report(runs: dict[str, list[Measured]], out: Path) -> None:
    """Print the medians and write JSON."""
    middle = {name: sorted(found)[len(found) // 2] for name, found in runs.items()}
    rows = [[name, f"{one.hits:.1%}", f"{one.rate:.0f}", f"{one.spread:.2f}"] for name, one in middle.items()]
    machine.show(f"{ENGINES} engines, {GROUPS} shared beginnings", ["", "in the cache", "answers/s", "spread"], rows)
    print(f"written: {machine.write(out, 'routers', {name: list(found) for name, found in runs.items()})}")


if __name__ == "__main__":
    main()
