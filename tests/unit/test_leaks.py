import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from testing.leaks import LeakError, watch
from testing.waiting import until

SHM = Path("/dev/shm")  # noqa: S108 - the very place the watch looks at
Start: TypeAlias = Callable[[str], "subprocess.Popen[str]"]
SLEEP = "import time; time.sleep(60)"
LISTEN = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""
HOLD = f"handle = open({{path!r}}, 'w'); print(flush=True); {SLEEP}"
BUSY = """
import os
handle = open({path!r}, "w")
print(flush=True)
while True:
    for one in [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]:
        os.close(one)
"""
LOCK = """
import multiprocessing, time
input()
lock = multiprocessing.get_context("spawn").Lock()
print(lock._semlock.name, flush=True)
time.sleep(60)
"""
ORPHAN = f"""
import subprocess, sys
command = [sys.executable, "-c", {SLEEP!r}]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True).pid)
"""


@pytest.fixture
def segment() -> Iterator[Path]:
    path = SHM / f"leak-test-{uuid.uuid4().hex}"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def python() -> Iterator[Start]:
    """Start Python programs; what ended is waited for at the end, and pipes are closed."""
    with contextlib.ExitStack() as started:

        def start(code: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", code]
            pipe = subprocess.PIPE
            return started.enter_context(subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe))

        yield start


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_nothing_left_passes() -> None:
    with watch(grace=0):
        pass


def test_process_is_caught_and_killed(python: Start) -> None:
    with pytest.raises(LeakError, match=r"a process: .*sleep"), watch(grace=0.2):
        child = python(SLEEP)
    assert child.wait(timeout=5) is not None


def test_orphan_in_its_own_session_is_caught_and_killed() -> None:
    with pytest.raises(LeakError, match="a process: ") as caught, watch(grace=0.2):
        orphan = int(subprocess.check_output([sys.executable, "-c", ORPHAN]))
    assert str(orphan) in str(caught.value)
    assert not psutil.pid_exists(orphan)


def test_a_file_for_a_while_is_caught() -> None:
    with pytest.raises(LeakError, match=r"a file: .*/left-") as caught, watch(grace=0.2):
        folder = tempfile.mkdtemp(prefix="left-")
    assert folder in str(caught.value)
    os.rmdir(folder)


def test_what_python_tries_the_folder_with_is_no_leak() -> None:
    """A process that is killed while it asks for the folder leaves that."""
    with watch(grace=0.2):
        probe = Path(tempfile.gettempdir(), "14k4dxz6")
        probe.write_bytes(b"blat")
    probe.unlink()


def test_port_of_a_process_is_caught(python: Start) -> None:
    with pytest.raises(LeakError) as caught, watch(grace=0.2):
        port = read_line(python(LISTEN))
    assert f"listening on port {port}" in str(caught.value)


def test_port_of_this_process_is_caught() -> None:
    with pytest.raises(LeakError, match="this process still listens on"), watch(grace=0.2):
        server = socket.create_server(("127.0.0.1", 0))
    server.close()


def test_segment_is_caught(segment: Path) -> None:
    with pytest.raises(LeakError, match=segment.name), watch(grace=0.2):
        segment.write_bytes(b"left")


def test_segment_of_a_killed_process_is_caught(segment: Path, python: Start) -> None:
    with pytest.raises(LeakError, match=segment.name), watch(grace=0.2):
        read_line(python(HOLD.format(path=str(segment))))


def test_what_a_wider_fixture_holds_passes(segment: Path, python: Start) -> None:
    older = python("input();" + HOLD.format(path=str(segment)))
    with watch(grace=0):
        assert older.stdin is not None
        print(file=older.stdin, flush=True)
        read_line(older)
        assert segment.exists()
    older.kill()


def test_a_semaphore_of_a_wider_fixture_passes(python: Start) -> None:
    """Its maker has mapped it under another name, which is gone."""
    older = python(LOCK)
    with watch(grace=0):
        assert older.stdin is not None
        print(file=older.stdin, flush=True)
        name = SHM / f"sem.{read_line(older).removeprefix('/')}"
        assert name.exists()
    older.kill()
    until(lambda: not name.exists())  # a helper of Python's removes it


def test_what_a_process_holds_passes_though_it_opens_and_closes_other_files(segment: Path, python: Start) -> None:
    """Some of these files are listed as open, and are closed before the look at their names."""
    busy = python(BUSY.format(path=str(segment)))
    read_line(busy)
    names = [SHM / f"{segment.name}-{n}" for n in range(30)]
    try:
        path = segment
        for name in names:
            with watch(grace=0):
                path = path.rename(name)
    finally:
        busy.kill()
        for name in names:
            name.unlink(missing_ok=True)


def test_what_ends_within_the_grace_passes(python: Start) -> None:
    started = time.monotonic()
    with watch(grace=10):
        python("import time; time.sleep(0.3)")
    assert time.monotonic() - started < 5


def test_the_fixture_fails_an_integration_test(pytester: pytest.Pytester) -> None:
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("leaks.watch()", "leaks.watch(grace=0.2)"))
    test = pytester.mkdir("integration") / "test_it.py"
    test.write_text(
        "import subprocess, sys\n"
        "def test_leaves_a_process():\n"
        f"    subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "def test_leaves_nothing():\n"
        "    pass\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*LeakError: the test left behind:*", "*a process: *"])


def test_a_module_that_leaves_something_unclosed_fails_and_no_other(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    folder = pytester.mkdir("of_some_kind")
    (folder / "test_a.py").write_text(
        "import socket\ndef test_leaves_a_ring():\n    ring = [socket.socket()]\n    ring.append(ring)\n"
    )
    (folder / "test_b.py").write_text("import gc\ndef test_looks_for_garbage():\n    gc.collect()\n")
    errors = ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
    words = [word for error in errors for word in ("-W", f"error::{error}")]
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *words)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves_a_ring*", "*unclosed <socket.socket*"])
