"""When a command counts as ready."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from rhapsody_parsl.services.command.readiness import Log, is_ready, scheme_of
from testing.ports import free_port
from testing.small_server import Handler


@pytest.fixture
def http_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def standard_output(path: Path) -> Iterator[None]:
    """Have a file for our standard output, as the guard gives us one."""
    before = os.dup(1)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def ready(how: str, port: int, log: Log | None = None) -> bool:
    return asyncio.run(is_ready(how, port, log))


def test_tcp_is_a_connection_that_is_taken_not_a_port_that_is_held() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert not ready("tcp", port)
        held.listen()
        assert ready("tcp", port)


def test_http_is_a_status_below_400(http_port: int) -> None:
    assert ready("http:/", http_port)
    assert not ready("http:/nothing", http_port)
    assert not ready("http:/", free_port())
    assert [scheme_of(how) for how in ("tcp", "http:/", "log:x")] == ["tcp", "http", "tcp"]


def test_what_earlier_starts_have_written_does_not_count(tmp_path: Path) -> None:
    path, seen = tmp_path / "log", []
    path.write_text("ready\n")
    with standard_output(path):
        log = Log("^rea+dy$")
        for more in (b"", b"already\nrea", b"dy\n"):
            os.write(1, more)
            seen.append(ready("log:^rea+dy$", 0, log))
    assert seen == [False, False, True]
