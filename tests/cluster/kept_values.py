"""A scenario: values by reference go from the driver to all hosts, and from one to another; one host is lost."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rhapsody_parsl import CommandService, Ref, RhapsodyExecutor
from rhapsody_parsl.errors import NodeLost
from testing.waiting import until
from tests.cluster import apps

SIZE = 3_000_000
SERVER = f"{sys.executable} -m http.server --bind {{host}} {{port}}"
HOSTS = ("vn1", "vn2", "vn3")
CHAINS, STEPS = 6, 12


def told(executor: RhapsodyExecutor, folder: Path, loses: bool, patience: float) -> Iterator[tuple[str, Any]]:
    """Yield what is to be told; with `loses`, wait in between until the second host is lost."""
    meeting = folder / "meeting"
    meeting.mkdir()
    given = executor.put(bytes(SIZE))
    futures = [executor.submit(apps.taken, {}, given, str(meeting), 6) for _ in range(6)]
    yield "taken", [future.result(patience) for future in futures]
    keys = {"labels": ["vn2"], "result": "reference"}
    first, second = (executor.submit(apps.kept, keys, SIZE).result(patience) for _ in range(2))
    yield "driver", len(first.result())
    yield "other", executor.submit(len, {"labels": ["vn3"]}, first).result(patience)
    del given, futures, first
    until(lambda: gc.collect() >= 0 and all(set(_names_on(executor, host)) <= {second.key} for host in HOSTS), 20)
    yield "dropped", [_names_on(executor, host) for host in HOSTS]
    yield from _told_beside(executor, second, patience)
    until(lambda: gc.collect() >= 0 and all(set(_names_on(executor, host)) <= {second.key} for host in HOSTS), 20)
    yield from _told_under_load(executor, patience)
    if loses:
        until(lambda: executor.submit(apps.where, {"labels": ["vn2"]}).exception(patience) is None, patience)
        second = executor.submit(apps.kept, keys, SIZE).result(patience)  # the other one went with its agent
        parent = executor.submit(apps.outlives, {"labels": ["vn1"], "cores": 0}, SIZE, str(folder))
        until((folder / "made").exists, patience)
        yield from _told_of_a_loss(executor, second, patience)
        (folder / "host gone").touch()
        yield "inside lost", parent.result(patience)


def _told_beside(executor: RhapsodyExecutor, ref: Ref, patience: float) -> Iterator[tuple[str, Any]]:
    """Place a task and a service by a value, and make one from inside the block."""
    yield "near", executor.submit(apps.where_with, {}, ref).result(patience)
    beside = executor.services.add(CommandService("beside", SERVER, near=ref))
    beside.wait_ready(patience)
    yield "beside", [one["node"] for one in executor.snapshot()["blocks"][0]["services"]]
    beside.stop()
    said, made = executor.submit(apps.steers, {"labels": ["vn1"], "cores": 0}, SIZE).result(patience)
    yield "inside", [*said, len(made.result())]
    del made


def _told_under_load(executor: RhapsodyExecutor, patience: float) -> Iterator[tuple[str, Any]]:
    """Make chains of values, all at once, while the agent of their host is killed."""
    keys = {"near": "vn2", "result": "reference", "on_loss": "rerun"}
    refs = [executor.submit(apps.kept, keys, SIZE).result(patience) for _ in range(CHAINS)]
    for step in range(STEPS):
        futures = [executor.submit(apps.one_more, keys, ref) for ref in refs]
        if step == 1:
            yield "under load", None
        refs = [future.result(patience) for future in futures]
    yield "chains", [len(ref.result()) for ref in refs]


def _told_of_a_loss(executor: RhapsodyExecutor, left: Ref, patience: float) -> Iterator[tuple[str, Any]]:
    """Lose a value that nothing makes again, one that its task does, and one that this was made of."""
    keys = {"near": "vn2", "result": "reference", "on_loss": "rerun"}
    first = executor.submit(apps.kept, keys, SIZE).result(patience)
    second = executor.submit(apps.one_more, keys, first).result(patience)
    yield "there", [_names_on(executor, host).count(ref.key) for host in HOSTS for ref in (first, second)]
    del first
    until(lambda: gc.collect() >= 0 and len(executor.references()) == 2, 20)
    yield "lose", None
    until(lambda: _is_lost(executor), patience)
    yield "error", str(executor.submit(len, {"labels": ["vn3"]}, left).exception(patience))
    yield "again", executor.submit(len, {"labels": ["vn3"]}, second).result(patience)
    yield "driver again", len(second.result())


def _names_on(executor: RhapsodyExecutor, host: str) -> list[str]:
    names: list[str] = executor.submit(apps.names_here, {"labels": [host]}).result(20)
    return names


def _is_lost(executor: RhapsodyExecutor) -> bool:
    """Whether the second host is."""
    return isinstance(executor.submit(apps.where, {"labels": ["vn2"]}).exception(60), NodeLost)
