"""Engines are killed under load, one after the other: no request is lost, and how long each takes.

`python -m benchmarks kills [--kills 200] [--replicas 4]` serves a stand-in for an engine by several replicas, and keeps
a number of requests under way, each with an answer of its own. Then it kills what answers, or the process that holds
it, whenever requests have been answered since the last kill. At the end each answer is looked at. Says how many
requests were lost, how many answers were wrong, and the latencies beside those of the same load without kills.

`--way door` asks at the front door by HTTP, in place of apps.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from parsl.providers import LocalProvider

from benchmarks.library import machine, sides
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from testing.fake_openai import COMMAND
from testing.processes import command_of
from testing.waiting import until

KILLS, QUICK, REPLICAS = 200, 10, 4
UNDER_WAY = 32
"""Requests at a time."""
TIMEOUT = 120.0
_HUNDREDTHS = 100
Ask = Callable[[str, int], Future[Any]]
"""Asks the model for so many tokens."""
_HOLDER = "rhapsody_parsl.runtimes.vllm.command"


def prompt(text: str) -> str:
    """Return what the model is asked."""
    return text


@contextmanager
def by_app(executor: RhapsodyExecutor) -> Iterator[Ask]:
    """Ask the service through apps."""
    yield lambda text, tokens: executor.submit(prompt, {"service": "model", "max_tokens": tokens}, text)


@contextmanager
def by_http(executor: RhapsodyExecutor) -> Iterator[Ask]:
    """Ask the service at the front door, on the driver's address."""
    url, headers = f"{executor.openai_url()}/completions", {"Authorization": f"Bearer {executor.openai_key}"}

    def post(text: str, tokens: int) -> str:
        answer = client.post(url, json={"model": "model", "prompt": text, "max_tokens": tokens})
        if answer.is_error:
            raise RuntimeError(f"HTTP {answer.status_code}: {answer.text}")
        return str(answer.json()["choices"][0]["text"])

    with httpx.Client(headers=headers, timeout=TIMEOUT) as client, ThreadPoolExecutor(UNDER_WAY) as pool:
        yield lambda text, tokens: pool.submit(post, text, tokens)


WAYS: dict[str, Callable[[RhapsodyExecutor], AbstractContextManager[Ask]]] = {"apps": by_app, "door": by_http}


class Load:
    """Requests that come all the time, each with an answer of its own.

    Args:
        ask: How `model` is asked.
        name: In front of each request.
    """

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask, self._name = ask, name
        self.futures: dict[str, Future[Any]] = {}
        self.seconds: list[float] = []

    @property
    def answered(self) -> int:
        """How many were."""
        return len(self.seconds)

    def fill(self) -> None:
        """Have as many under way as there are to be."""
        while sum(not future.done() for future in self.futures.values()) < UNDER_WAY:
            text, began = f"slow {self._name} {len(self.futures)}", time.perf_counter()
            future = self._ask(text, 1 + len(self.futures) % 4)
            future.add_done_callback(partial(self._ended, began))
            self.futures[text] = future

    def _ended(self, began: float, _: Future[Any]) -> None:
        self.seconds.append(time.perf_counter() - began)

    def outcome(self) -> dict[str, float]:
        """Wait for all; return what became of them."""
        errors = [future.exception(TIMEOUT) for future in self.futures.values()]
        right = sum(
            not error and future.result() == text[::-1]
            for error, (text, future) in zip(errors, self.futures.items(), strict=True)
        )
        for error in filter(None, errors):
            print(f"lost: {error}")
        lost = sum(map(bool, errors))
        parts = statistics.quantiles(self.seconds, n=_HUNDREDTHS)
        return {
            "requests": len(self.futures), "lost": lost, "wrong": len(self.futures) - lost - right,
            "p50_s": parts[49], "p95_s": parts[94], "max_s": max(self.seconds),
        }  # fmt: skip


@contextmanager
def block(replicas: int) -> Iterator[RhapsodyExecutor]:
    """Have a block that serves the stand-in."""
    model = VLLMService(
        "model",
        f"kills-{os.getpid()}",
        cores=0,
        replicas=replicas,
        server="command",
        executable=COMMAND,
        restarts=KILLS,
    )  # one that is killed while it starts has answered nothing
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    with RhapsodyExecutor("kills", provider, runtimes=[LocalRuntime()], services=[model], cores_per_node=1) as made:
        made.services["model"].wait_ready(TIMEOUT)
        yield made


def calm(ask: Ask, requests: int) -> dict[str, float]:
    """Ask without any kill."""
    load = Load(ask, "calm")
    while load.answered < requests:
        load.fill()
        time.sleep(0.01)  # noqa: TID251 - the load's own pace
    return load.outcome()


def campaign(ask: Ask, kills: int, seed: int = 1) -> dict[str, float]:
    """Kill so often; return what became of the requests."""
    dice, load, word = random.Random(seed), Load(ask, "kills"), f"kills-{os.getpid()}"  # noqa: S311 - an experiment
    began = time.perf_counter()
    for _ in range(kills):
        answered = load.answered
        load.fill()
        until(lambda: load.answered > answered, TIMEOUT)  # noqa: B023 - called here only
        time.sleep(dice.uniform(0.0, 0.3))  # noqa: TID251 - whenever
        server = dice.choice(until(lambda: servers(word), TIMEOUT))
        kill(server, its_holder=dice.random() < 0.5)  # noqa: PLR2004 - a half
    return {"kills": kills, "seconds": time.perf_counter() - began, **load.outcome()}


def servers(word: str) -> list[psutil.Process]:
    """Return the processes that answer, wherever they were started from."""
    return [process for process in psutil.process_iter() if word in command_of(process)]


def kill(server: psutil.Process, its_holder: bool) -> None:
    """Kill a server, or the process that holds it; either may be gone."""
    with suppress(psutil.NoSuchProcess):
        holder = server.parent()
        chosen = holder if its_holder and holder and _HOLDER in command_of(holder) else server
        chosen.kill()


def main() -> None:
    """Run, print and write."""
    parser = sides.options(__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--replicas", type=int, default=REPLICAS)
    parser.add_argument("--way", choices=WAYS, default="apps")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with block(arguments.replicas) as executor, WAYS[arguments.way](executor) as ask:
            rows = [campaign(ask, QUICK if arguments.quick else arguments.kills)]
            rows.insert(0, {"kills": 0, "seconds": 0, **calm(ask, int(rows[0]["requests"]))})
    report(rows, arguments, out)


def report(rows: Sequence[dict[str, float]], asked: argparse.Namespace, out: Path) -> None:
    """Print the table; write JSON."""
    replicas, name = asked.replicas, "kills" if asked.way == "apps" else f"kills-{asked.way}"
    columns = ["kills", "requests", "lost", "wrong", "p50, s", "p95, s", "longest, s"]
    keys = ("kills", "requests", "lost", "wrong")
    cells = [
        [f"{row[key]:.0f}" for key in keys] + [f"{row[key]:.2f}" for key in ("p50_s", "p95_s", "max_s")] for row in rows
    ]
    machine.show(f"Engines killed under load, {replicas} replicas, {rows[-1]['seconds']:.0f} s", columns, cells)
    print(f"written: {machine.write(out, name, {'replicas': replicas, 'rows': list(rows)})}")


if __name__ == "__main__":
    main()
