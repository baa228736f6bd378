"""A scenario: large values go from host to host over a slow network, through a cut, and past a firewall."""

import time
from collections.abc import Sequence
from pathlib import Path

from rhapsody_parsl import Ref, RhapsodyExecutor
from testing.waiting import until
from tests.cluster import apps
from tests.cluster.block import PATIENCE, block, tell

SIZE, READERS = 20_000_000, 4
HOSTS = ("vn1", "vn2", "vn3")


def moves(folder: Path, way: str = "ssh") -> None:
    """What each host received of a value that all need, and of one that goes alone: cut, and where no way is."""
    with block(folder, ["local"], way=way) as executor:
        tell("all", _received(executor, _made(executor), HOSTS, READERS))
        ref = _made(executor)
        _wait(folder, "slow")
        before = _count(executor)
        far = executor.submit(len, {"labels": ["vn3"]}, ref)
        tell("beside", max(_seconds_of_a_task(executor) for _ in range(10)))
        tell("on its way", not far.done())
        _wait(folder, "cut")
        tell("size", far.result(PATIENCE))
        tell("cut", _since(executor, before))
        ref = _made(executor)
        _wait(folder, "apart")
        tell("apart", _received(executor, ref, ["vn3"], 1))


def _made(executor: RhapsodyExecutor) -> Ref:
    ref: Ref = executor.submit(apps.kept, {"labels": ["vn2"], "result": "reference"}, SIZE).result(PATIENCE)
    return ref


def _received(executor: RhapsodyExecutor, ref: Ref, hosts: Sequence[str], readers: int) -> list[float]:
    before = _count(executor)
    futures = [executor.submit(len, {"labels": [host]}, ref) for host in hosts for _ in range(readers)]
    assert {future.result(PATIENCE) for future in futures} == {SIZE}
    return _since(executor, before)


def _count(executor: RhapsodyExecutor) -> list[int]:
    futures = [executor.submit(apps.bytes_received, {"labels": [host], "cores": 0}) for host in HOSTS]
    return [future.result(PATIENCE) for future in futures]


def _since(executor: RhapsodyExecutor, before: Sequence[int]) -> list[float]:
    """Return how often each host has received as many bytes."""
    return [(now - then) / SIZE for now, then in zip(_count(executor), before, strict=True)]


def _seconds_of_a_task(executor: RhapsodyExecutor) -> float:
    """Return how long a task takes on the host to which a value comes."""
    began = time.monotonic()
    executor.submit(apps.where, {"labels": ["vn3"], "cores": 0}).result(PATIENCE)
    return time.monotonic() - began


def _wait(folder: Path, name: str) -> None:
    tell(f"before {name}")
    until((folder / name).exists, PATIENCE)
