"""How a pilot finds its driver."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from rhapsody_parsl.pilot import link
from rhapsody_parsl.pilot.link import DriverUnreachable, find_driver


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that answers nothing: the queue of whoever listens there is full."""
    clients = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            clients.append(client)
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        for client in clients:
            client.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_addresses_that_are_silent_cost_no_time(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_PROBE_TIMEOUT", 20.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        right = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        found = asyncio.run(find_driver(["ipc://@nobody", silent, f"tcp://127.0.0.1:{free_port()}", silent, right]))
    assert found == right
    assert time.monotonic() - began < 10


def test_all_that_were_tried_are_named(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_PROBE_TIMEOUT", 0.5)
    refused = f"tcp://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(DriverUnreachable, match=f"{silent}, {refused}"):
        asyncio.run(find_driver([silent, refused]))
    assert time.monotonic() - began > 0.4, "the silent one was given time"
