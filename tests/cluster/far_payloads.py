"""A scenario: large arguments and results on hosts that are not the driver's, counted by what comes to these hosts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import WorkerLost
from testing.waiting import until
from tests.cluster import apps
from tests.cluster.block import PATIENCE, block, tell

SIZE, TASKS = 1_000_000, 40
HOSTS = ("vn2", "vn3")


def payloads(folder: Path, way: str = "ssh") -> None:
    """What is right, what came to the other hosts, who was lost, and what is left."""
    with block(folder, ["local"], way=way) as executor:
        for event, value in _told(executor, folder):
            tell(event, value)


def _told(executor: RhapsodyExecutor, folder: Path) -> Iterator[tuple[str, Any]]:
    def ask(function: Any, *args: Any) -> list[Any]:
        futures = [executor.submit(function, {"labels": [host]}, *args) for host in HOSTS]
        return [future.result(PATIENCE) for future in futures]

    data = bytes(range(250)) * (SIZE // 250)
    before = ask(apps.bytes_received)
    futures = [executor.submit(apps.rest_of, {"labels": [HOSTS[n % 2]]}, data, n) for n in range(TASKS)]
    yield "right", [future.result(PATIENCE) == data[n:] for n, future in enumerate(futures)].count(True)
    yield "came", sum(ask(apps.bytes_received)) - sum(before)
    note = folder / "seen"
    lost = executor.submit(apps.die_over, {"labels": ["vn2"]}, data, str(note)).exception(PATIENCE)
    yield "lost", [isinstance(lost, WorkerLost), int(note.read_text())]
    until(lambda: not any(ask(apps.large_payloads_here)), PATIENCE)
    yield "left", ask(apps.large_payloads_here)
