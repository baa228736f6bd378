"""The addresses that pilots are given."""

import socket
import time

import pytest

from rhapsody_parsl.executors.addresses import own_addresses


def test_each_takes_a_connection_of_this_host() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - as the driver's
        for address in own_addresses():
            socket.create_connection((address, server.getsockname()[1]), 2).close()


def test_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the name service was asked")

    for name in ("gethostbyname", "getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    began = time.monotonic()
    assert own_addresses()
    assert time.monotonic() - began < 5
