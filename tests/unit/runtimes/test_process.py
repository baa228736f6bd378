"""Real processes: whatever ends, nothing of a guarded command is left."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rhapsody_parsl.runtimes.process import Backend, last_words
from testing import leaks
from testing.waiting import alive, until

# Writes its pid, starts a grandchild that forks twice into a new session, and goes on.
FAMILY = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        (folder / "orphan.new").write_text(str(os.getpid()))
        os.rename(folder / "orphan.new", folder / "orphan")
        time.sleep(100)
    os._exit(0)
os.wait()
(folder / f"segment-{os.getpid()}").write_text("")
print("first words", flush=True)
(folder / "child.new").write_text(str(os.getpid()))
os.rename(folder / "child.new", folder / "child")
while True:
    time.sleep(100)
"""
OWNER = """
import asyncio, pathlib, sys
from rhapsody_parsl.runtimes.process import Backend
async def own():
    folder = pathlib.Path(sys.argv[1])
    backend = Backend([sys.executable, "-c", sys.argv[2], str(folder)], folder / "log", grace=0.3,
                      sweep=[str(folder / "segment-*{pid3}")])
    await backend.start()
    await asyncio.sleep(100)
asyncio.run(own())
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(3.0):
        yield


def pids(folder: Path) -> list[int]:
    until(lambda: (folder / "child").exists() and (folder / "orphan").exists())
    return [int((folder / name).read_text()) for name in ("child", "orphan")]


def family(folder: Path, *words: str) -> Backend:
    command = [sys.executable, "-c", FAMILY, str(folder), *words]
    return Backend(command, folder / "log", grace=0.3, sweep=[str(folder / "segment-*{pid3}")])


@pytest.mark.parametrize("words", [(), ("stubborn",)])
def test_stop_ends_a_family_with_its_orphans(tmp_path: Path, words: tuple[str, ...]) -> None:
    async def story() -> None:
        backend = family(tmp_path, *words)
        await backend.stop()  # not started yet: nothing
        await backend.start()
        living = await asyncio.to_thread(pids, tmp_path)
        assert backend.alive
        began = time.monotonic()
        await backend.stop()
        await backend.stop()
        assert time.monotonic() - began < 3
        assert (await backend.wait()).startswith(("it was ended by signal", "it left"))
        assert not any(map(alive, living))
        assert backend.last_words() == "first words"

    asyncio.run(story())
    assert not list(tmp_path.glob("segment-*")), "what the command leaves is swept"


def test_the_end_of_the_child_ends_its_orphans_and_is_told(tmp_path: Path) -> None:
    async def story() -> str:
        backend = family(tmp_path)
        await backend.start()
        child, orphan = await asyncio.to_thread(pids, tmp_path)
        os.kill(child, signal.SIGKILL)
        ending = await backend.wait()
        assert not alive(orphan)
        return ending

    assert asyncio.run(story()) == "it was ended by signal 9"
    assert not list(tmp_path.glob("segment-*"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_owner_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), FAMILY], stderr=subprocess.DEVNULL)
    try:
        living = pids(tmp_path)
    finally:
        owner.send_signal(number)
        owner.wait(10)
    until(lambda: not any(map(alive, living)), 5)
    until(lambda: not list(tmp_path.glob("segment-*")), 5)


def test_kill_of_the_guard_reaches_the_child(tmp_path: Path) -> None:
    """The kernel signals the command when its guard dies; only then orphans of it may be out of reach."""

    async def story() -> None:
        backend = family(tmp_path)
        await backend.start()
        child, orphan = await asyncio.to_thread(pids, tmp_path)
        guard = psutil.Process(child).parent()
        assert guard is not None
        guard.kill()
        await backend.wait()
        await asyncio.to_thread(until, lambda: not alive(child))
        os.kill(orphan, signal.SIGKILL)

    asyncio.run(story())


@pytest.mark.parametrize(("code", "told"), [("raise SystemExit(3)", "it left with exit code 3"),
                                            ("pass", "it left with exit code 0")])  # fmt: skip
def test_how_it_ended(tmp_path: Path, code: str, told: str) -> None:
    async def story() -> str:
        backend = Backend([sys.executable, "-c", code], tmp_path / "log")
        assert await backend.wait() == "it was never started"
        await backend.start()
        return await backend.wait()

    assert asyncio.run(story()) == told


def test_a_command_that_is_not_there_leaves_words(tmp_path: Path) -> None:
    async def story() -> str:
        backend = Backend(["no-such-command"], tmp_path / "log")
        await backend.start()
        await backend.wait()
        return backend.last_words()

    assert "no-such-command" in asyncio.run(story())


def test_environment_and_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))

    async def story() -> str:
        code = "import os; print(os.environ.get('PATH'), os.environ['MINE'], os.sched_getaffinity(0))"
        backend = Backend(
            [sys.executable, "-c", code], tmp_path / "log", env={"PATH": None, "MINE": "x"}, cores=[core, core]
        )
        await backend.start()
        await backend.wait()
        return backend.last_words()

    assert asyncio.run(story()) == f"None x {{{core}}}"


def test_last_words_are_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == ""
    log.write_text("one\ntwo\nthree\n")
    assert last_words(log, 100) == "one\ntwo\nthree"
    assert last_words(log, 8) == "three"


def test_files_named_after_user_or_number_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "someone")
    other = tmp_path / "one-of-another"
    program = (
        "import os, pathlib, sys\n"
        "for who in ('one', str(os.getuid())[-3:]):\n"
        f"    (pathlib.Path({str(tmp_path)!r}) / f'{{who}}{{str(os.getpid())[-3:]}}').touch()"
    )
    other.touch()

    asyncio.run(
        over(Backend([sys.executable, "-c", program], tmp_path / "log", sweep=[str(tmp_path / "{uid3}{pid3}")]))
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "one-of-another"]


async def over(backend: Backend) -> None:
    await backend.start()
    await backend.wait()


@pytest.mark.parametrize("dies", [False, True])
def test_what_a_dying_process_has_mapped_is_swept_after_it(tmp_path: Path, dies: bool) -> None:
    segment = tmp_path / "segment"
    segment.write_bytes(b"1")
    code = (
        f"import mmap; f = open({str(segment)!r}, 'r+b'); m = mmap.mmap(f.fileno(), 0); print(0, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"0\n"
        if dies:
            threading.Timer(1, holder.kill).start()
        asyncio.run(over(Backend(["true"], tmp_path / "log", sweep=[str(segment)], settle=20 if dies else 0)))
        assert segment.exists() != dies
        holder.kill()


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel shares cores between processes only")
def test_a_nice_process_is_nice_as_a_session(tmp_path: Path) -> None:
    """Else the kernel may give it a core that it shares with others for as long as it likes."""
    show = "import os; print(os.nice(0)); print(open('/proc/self/autogroup').read())"
    ours = Path("/proc/self/autogroup").read_text()

    async def run() -> None:
        backend = Backend([sys.executable, "-c", show], tmp_path / "log", nice=5)
        await backend.start()
        await backend.wait()

    asyncio.run(run())
    nice, group = (tmp_path / "log").read_text().split("\n")[:2]
    assert nice == "5"
    assert group.endswith("nice 5")
    assert Path("/proc/self/autogroup").read_text() == ours


MAKER = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "seg-new").write_text("new")
(folder / "seg-used").write_text("used")
while not (folder / "mapped").exists():
    time.sleep(0.01)
os.kill(os.getpid(), 7)
"""
USER = """
import mmap, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
while not (folder / "seg-used").exists() or not (folder / "seg-used").stat().st_size:
    time.sleep(0.01)
with open(folder / "seg-used", "r+b") as file:
    held = mmap.mmap(file.fileno(), 4)
(folder / "mapped").touch()
input()
"""


def ending(backend: Backend) -> str:
    async def end() -> str:
        await backend.start()
        return await backend.wait()

    return asyncio.run(end())


def test_what_a_command_made_and_nobody_maps_goes_and_what_was_there_stays(tmp_path: Path) -> None:
    """As an MPI world that dies at its start: all its ranks are gone before anybody could look at their maps."""
    (tmp_path / "seg-old").write_text("old")
    with subprocess.Popen([sys.executable, "-c", USER, str(tmp_path)], stdin=subprocess.PIPE) as user:
        command = [sys.executable, "-c", MAKER, str(tmp_path)]
        told = ending(Backend(command, tmp_path / "log", sweep_new=[str(tmp_path / "seg-*")]))
        left = sorted(path.name for path in tmp_path.glob("seg-*"))
        user.communicate(b"\n", timeout=10)
    assert told == "it was ended by signal 7"
    assert left == ["seg-old", "seg-used"]


def test_what_cannot_be_started_tells_it_as_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    backend = Backend(["true"], tmp_path / "log", files={str(tmp_path / "file" / "settings"): ""})
    assert ending(backend).startswith("it could not be started: ")


def test_a_log_without_room_costs_its_words_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert ending(Backend(["false"], tmp_path / "file" / "log")) == "it left with exit code 1"
