"""The control socket: who may ask, what rubbish and silence do, and what an executor's end leaves."""

import contextlib
import gc
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from rhapsody_parsl.control import server as control
from rhapsody_parsl.control.client import answers, ask
from rhapsody_parsl.control.messages import Answer, Cancelled, CancelTasks, Draining, ListTasks, Request, View
from rhapsody_parsl.control.place import FILE, Place, read
from rhapsody_parsl.control.server import ControlServer
from rhapsody_parsl.errors import NoExecutor, RhapsodyError
from testing.unprivileged import as_nobody
from testing.waiting import until

Answering = Callable[[Request], Answer]


KNOCK = """
import socket, sys
knocking = socket.socket(socket.AF_UNIX)
knocking.connect(sys.argv[1])
try:
    knocking.sendall(b'{"type": "View"}')
    knocking.shutdown(socket.SHUT_WR)
    print(knocking.recv(9))
except OSError:
    print(b"")
"""


def answer(request: Request) -> Answer:
    """A `View` is answered with the number of threads that run: any answer does."""
    if isinstance(request, CancelTasks):
        return Cancelled(tasks=request.tasks)
    if isinstance(request, ListTasks):
        raise RhapsodyError("It cannot be done." if request.app else "")
    return Draining(blocks=(threading.current_thread().name,))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Place]:
    server = ControlServer(tmp_path, "x", answer)
    server.start()
    place = read(tmp_path)
    assert place
    yield place
    server.close()
    server.close()
    assert not server.is_alive()
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def raw(place: Place, said: bytes, finish: bool = True) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(place.socket)
    connection.sendall(said)
    if finish:
        connection.shutdown(socket.SHUT_WR)
    return connection


def works(place: Place) -> bool:
    return isinstance(ask(place, View()), Draining)


def test_it_answers_and_only_its_user_may_ask(served: Place, tmp_path: Path) -> None:
    assert ask(served, CancelTasks(tasks=(1, 2))) == Cancelled(tasks=(1, 2))
    assert stat.S_IMODE(os.stat(served.socket).st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert (served.host, served.pid, served.label) == (socket.gethostname(), os.getpid(), "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_not_heard_whatever_the_file_allows(served: Place, tmp_path: Path) -> None:
    with contextlib.ExitStack() as opened:
        for folder in (tmp_path, *tmp_path.parents):
            if not (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o001:
                folder.chmod(mode | 0o001)
                opened.callback(folder.chmod, mode)
        line = as_nobody([sys.executable, "-c", KNOCK, served.socket])
        refused = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
        assert "Permission denied" in refused.stderr
        os.chmod(served.socket, 0o666)  # noqa: S103 - it is what is tried
        heard = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20)
    assert heard.stdout == "b''\n"
    assert works(served)


def test_what_cannot_be_done_is_told_as_the_executor_says_it(served: Place) -> None:
    with pytest.raises(RhapsodyError, match="It cannot be done"):
        ask(served, ListTasks(app="a"))


@pytest.mark.parametrize("said", [b"", b"\xff", b"{", b'{"type": "No"}', b'{"type": "CancelTasks", "tasks": "x"}'])
def test_rubbish_is_refused(served: Place, said: bytes) -> None:
    with raw(served, said) as connection:
        told = msgspec.json.decode(connection.recv(1 << 16))
    assert told["type"] == "Refused"
    assert works(served), "and others are served"


def test_too_much_is_hung_up_on(served: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_LARGEST", 1000)
    with raw(served, b" " * 2000, finish=False) as connection:
        assert connection.recv(1) == b""
    assert works(served)


def test_whoever_says_nothing_is_hung_up_on_and_holds_up_nobody(served: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_PATIENCE", 0.5)
    silent = [raw(served, b'{"type"', finish=False) for _ in range(5)]
    assert works(served)
    for connection in silent:
        assert connection.recv(1) == b""
        connection.close()


def test_so_many_at_once_and_no_more(served: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_MOST_CLIENTS", 2)
    silent = [raw(served, b"", finish=False) for _ in range(2)]
    until(lambda: _hung_up_on(served))
    for connection in silent:
        connection.close()
    until(lambda: not _hung_up_on(served))


def _hung_up_on(place: Place) -> bool:
    try:
        ask(place, View())
    except NoExecutor:
        return True
    return False


def test_a_view_is_answered_while_an_order_takes_long(tmp_path: Path) -> None:
    begun, over = threading.Event(), threading.Event()

    def slowly(request: Request) -> Answer:
        if isinstance(request, CancelTasks):
            begun.set()
            assert over.wait(20)
        return answer(request)

    server = ControlServer(tmp_path, "x", slowly)
    server.start()
    place = read(tmp_path)
    assert place
    with raw(place, msgspec.json.encode(CancelTasks(tasks=(3,)))) as connection:
        assert begun.wait(20)
        assert ask(place, View()) == Draining(blocks=("rhapsody-control",))
        over.set()
        assert msgspec.json.decode(connection.recv(1 << 16))["tasks"] == [3]
    server.close()


def test_a_failure_of_ours_is_told_too(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, "x", lambda _: 1 // 0)  # type: ignore[arg-type, return-value]  # it never returns
    server.start()
    place = read(tmp_path)
    assert place
    with pytest.raises(RhapsodyError, match="by zero"):
        ask(place, View())
    server.close()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    server = ControlServer(folder, "x", answer)
    server.start()
    place = read(folder)
    assert place
    apart = Path(place.socket).parent
    assert apart != folder
    assert stat.S_IMODE(apart.stat().st_mode) == 0o700
    assert works(place)
    server.close()
    assert not apart.exists()
    assert list(folder.iterdir()) == []


def test_one_that_is_closed_before_it_starts_leaves_nothing(tmp_path: Path) -> None:
    ControlServer(tmp_path, "x", answer).close()
    assert list(tmp_path.iterdir()) == []


def test_what_an_executor_left_that_was_killed_is_replaced(tmp_path: Path) -> None:
    first = ControlServer(tmp_path, "x", answer)
    second = ControlServer(tmp_path, "x", answer)
    second.start()
    place = read(tmp_path)
    assert place
    assert answers(place)
    second.close()
    assert not answers(place)
    first.close()


def test_those_who_come_as_it_closes_leave_nothing_open(tmp_path: Path) -> None:
    for _ in range(20):
        server = ControlServer(tmp_path, "x", answer)
        server.start()
        place = read(tmp_path)
        assert place
        knocking = [raw(place, b"", finish=False) for _ in range(5)]
        server.close()
        for connection in knocking:
            connection.close()
        del server
        gc.collect()
