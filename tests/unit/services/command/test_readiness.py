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

from rhapsody_parsl.ready_word import of_function
from rhapsody_parsl.services.command.readiness import Call, readiness, scheme_of
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


def problem(how: str, port: int) -> str:
    return asyncio.run(readiness(how).problem(port))


def test_tcp_is_a_connection_that_is_taken_not_a_port_that_is_held() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert f"no connection to port {port}: ConnectionRefusedError" in problem("tcp", port)
        held.listen()
        assert problem("tcp", port) == ""


def test_http_is_a_status_below_400(http_port: int) -> None:
    assert problem("http:/", http_port) == ""
    assert problem("http:/nothing", http_port) == "GET /nothing is answered with status 404"
    port = free_port()
    assert f"no answer to GET / at port {port}: ConnectionRefusedError" in problem("http:/", port)
    assert [scheme_of(how) for how in ("tcp", "http:/", "log:x")] == ["tcp", "http", "tcp"]


def test_what_earlier_starts_have_written_does_not_count(tmp_path: Path) -> None:
    path, seen = tmp_path / "log", []
    path.write_text("ready\n")
    with standard_output(path):
        log = readiness("log:^rea+dy$")
        for more in (b"", b"already\nrea", b"dy\n"):
            os.write(1, more)
            seen.append(asyncio.run(log.problem(0)))
    assert seen == [*["it has not written what ready= names"] * 2, ""]


def test_a_pattern_is_one_of_text(tmp_path: Path) -> None:
    with standard_output(tmp_path / "log"):
        log = readiness(r"log:d\u00e9marr[é]e$")
        os.write(1, b"\xff d\xc3\xa9marr\xc3\xa9e\n")
        assert not asyncio.run(log.problem(0))


def test_a_function_is_asked_and_what_it_raises_or_returns_is_told() -> None:
    def up(host: str, port: int) -> str | None:
        if port == 1:
            raise LookupError("no table yet")
        return f"{host}:{port}" if port > 2 else None

    word = of_function(up, "ready")
    assert problem(word, 1) == "ready=up raised LookupError: no table yet"
    assert problem(word, 2) == "ready=up returned None"
    assert problem(word, 3) == ""
    with pytest.raises(ValueError, match="padding"):
        readiness("call:up:abc")


def test_a_function_that_does_not_return_is_waited_for_and_not_called_again() -> None:
    calls, go = [], threading.Event()

    def slow(host: str, port: int) -> bool:
        calls.append(port)
        return go.wait(20)

    async def story() -> list[str]:
        call = Call("slow", slow, patience=0.05)
        told = [await call.problem(7), await call.problem(7)]
        go.set()
        while problem := await call.problem(7):
            told.append(problem)
        return told

    told = asyncio.run(story())
    assert told[:2] == ["ready=slow has not returned within 0.05 s"] * 2
    assert calls == [7]
