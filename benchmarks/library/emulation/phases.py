"""What is done with a block of emulated hosts, and measured: lone tasks, all cores at work, many, mixed, and faults."""

import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

from benchmarks.library.emulation.block import LABEL, Block
from rhapsody_parsl.errors import NodeLost
from testing.waiting import until

__all__ = ("fill", "idle", "lone", "mixed", "rate", "through_faults")

Numbers = dict[str, float]
Futures = Sequence[Future[Any]]

_LEAST, _PER_NODE = 300.0, 0.3
_SINGLE: dict[str, Any] = {"labels": [LABEL]}
_SHARE: dict[str, Any] = {**_SINGLE, "gpus": 0.25}
_GANGS = 0.02
_HALF = 0.5


def within(block: Block) -> float:
    """Return after how many seconds nobody waits any more for what all of a block do."""
    return _LEAST + _PER_NODE * len(block.names)


def nothing() -> None:
    """Do nothing; what comes back was never run."""


def idle(block: Block, seconds: float = 6.0) -> Numbers:
    """Measure the share of a core, in percent, that a block takes in which nothing happens."""
    before = block.spent()
    threading.Event().wait(seconds)
    return {"idle_percent": (block.spent()["pilot"] - before["pilot"]) / seconds * 100}


def lone(block: Block, trips: int = 300) -> Numbers:
    """Measure the round trip of a task that is alone, in ms."""
    taken = []
    for _ in range(trips):
        began = time.perf_counter()
        block.executor.submit(nothing, _SINGLE).result(within(block))
        taken.append(time.perf_counter() - began)
    return {"lone_ms": statistics.median(taken[trips // 10 :]) * 1e3}


def fill(block: Block, cores: int) -> Numbers:
    """Have a task at work on each core, and so a worker; measure how long that takes, and what the pilot holds then."""
    count = cores * len(block.names)
    block.tell(held=True)
    began = time.perf_counter()
    futures = _submit(block, [_SINGLE] * count)
    until(lambda: block.running() == count, within(block))
    numbers = {"workers": count, "fill_s": time.perf_counter() - began, "full_mb": block.resident / 1e6}
    block.tell(held=False)
    _check(block, futures)
    return numbers


def rate(block: Block, count: int, prefix: str = "", specs: Sequence[dict[str, Any]] = ()) -> Numbers:
    """Measure tasks per second, and microseconds of each process's CPU per task."""
    before, began = block.spent(), time.perf_counter()
    _check(block, _submit(block, specs or [_SINGLE] * count))
    seconds, after = time.perf_counter() - began, block.spent()
    cpu = {f"{prefix}{name}_us": (after[name] - before[name]) / count * 1e6 for name in after}
    return {f"{prefix}per_s": count / seconds, **cpu}


def mixed(block: Block, count: int, cores: int, seed: int = 1) -> Numbers:
    """Measure the same of gangs, of one to half of the nodes, among single cores and quarters of GPUs."""
    return rate(block, count, "mixed_", list(_load(count, len(block.names), cores, seed)))


def _load(count: int, nodes: int, cores: int, seed: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)  # noqa: S311 - an experiment
    sizes = [1 << power for power in range(max(1, nodes // 2).bit_length())]
    for _ in range(count):
        if dice.random() < _GANGS:
            size = dice.choice(sizes)
            yield {**_SINGLE, "num_ranks": size * cores, "num_nodes": size}
        else:
            yield _SHARE if dice.random() < _HALF else _SINGLE


def through_faults(
    block: Block, cores: int, *, killed: int, cut: int, seconds: float = 10.0, mean: float = 5.0
) -> Numbers:
    """Kill some hosts, cut others off and freeze the pilot while all are at work; return what was lost.

    Args:
        block: The block.
        cores: Of each host; each has two tasks to run, one after the other.
        killed: How many hosts are killed.
        cut: How many are cut off.
        seconds: For how long; for half of that the pilot does nothing.
        mean: Seconds that a task takes.

    Raises:
        ValueError: Something was lost elsewhere than on the killed hosts.
    """
    count = cores * len(block.names)
    block.tell(mean=mean, held=True)
    futures = _submit(block, [_SINGLE] * 2 * count)
    until(lambda: block.running() == count, within(block))
    of_killed, of_cut = block.names[:killed], block.names[killed : killed + cut]
    block.tell(held=False, kill=of_killed, cut=of_cut, seconds=seconds)
    block.freeze(seconds / 2)
    wait(futures, within(block))
    lost = [error for future in futures if (error := future.exception(0.0))]
    if elsewhere := [error for error in lost if not isinstance(error, NodeLost) or error.args[0] not in of_killed]:
        raise ValueError(f"{len(elsewhere)} tasks were lost elsewhere than on killed hosts: {elsewhere[0]}")
    until(lambda: not block.lost_nodes(), within(block))
    block.tell(mean=0.0)
    return {"faults_tasks": 2 * count, "killed": killed, "cut": cut, "lost": len(lost)}


def _submit(block: Block, specs: Sequence[dict[str, Any]]) -> Futures:
    return [block.executor.submit(nothing, spec) for spec in specs]


def _check(block: Block, futures: Futures) -> None:
    """Have all results; the first error is raised."""
    done = wait(futures, within(block))
    if done.not_done:
        raise TimeoutError(f"{len(done.not_done)} tasks were not answered within {within(block):g} s")
    for future in futures:
        future.result()
