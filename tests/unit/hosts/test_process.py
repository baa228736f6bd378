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

from rhapsody_parsl.hosts import folder, guard
from rhapsody_parsl.hosts.descendants import end_session
from rhapsody_parsl.hosts.process import Backend, asked, log_tail
from testing import leaks
from testing.processes import below
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
from rhapsody_parsl.hosts.process import Backend
async def own():
    folder = pathlib.Path(sys.argv[1])
    backend = Backend([sys.executable, "-c", sys.argv[2], str(folder)], folder / "log", grace=0.3,
                      sweep=[str(folder / "segment-*")])
    await backend.start()
    await asyncio.sleep(100)
asyncio.run(own())
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(3.0):
        yield


def pids(place: Path) -> list[int]:
    until(lambda: (place / "child").exists() and (place / "orphan").exists())
    return [int((place / name).read_text()) for name in ("child", "orphan")]


def family(place: Path, *words: str) -> Backend:
    command = [sys.executable, "-c", FAMILY, str(place), *words]
    return Backend(command, place / "log", grace=0.3, sweep=[str(place / "segment-*")])


@pytest.mark.parametrize("words", [(), ("stubborn",)])
def test_stop_ends_a_family_with_its_orphans(tmp_path: Path, words: tuple[str, ...]) -> None:
    async def story() -> None:
        backend = family(tmp_path, *words)
        await backend.start()
        living = await asyncio.to_thread(pids, tmp_path)
        assert backend.alive
        began = time.monotonic()
        await backend.stop()
        await backend.stop()
        assert time.monotonic() - began < 20
        assert (await backend.wait()).startswith(("it was ended by signal", "it left"))
        assert not any(map(alive, living))
        assert backend.log_tail() == "first words"

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


def test_a_guard_that_is_killed_is_followed_by_one_that_ends_and_sweeps_all(tmp_path: Path) -> None:
    """But for what is in a session of its own and has no parent: that is left to the next guard above."""
    segment = f"segment-{os.getpid()}"

    async def story() -> str:
        backend = family(tmp_path, "stubborn")
        await backend.start()
        child, orphan = await asyncio.to_thread(pids, tmp_path)
        above = psutil.Process(child).parent()
        assert above is not None
        (tmp_path / segment).touch()
        above.kill()
        ending = await backend.wait()
        assert not backend.alive
        assert not alive(child), "it had not heard SIGTERM"
        os.kill(orphan, signal.SIGKILL)
        return ending

    assert asyncio.run(story()) == "its guard was ended by signal 9"
    assert not list(tmp_path.glob("segment-*"))


# Shared memory and semaphores, multiprocessing's and under a name of loky's, as their owner goes on.
TRACKED = """
import _multiprocessing, multiprocessing, os, sys, time
from multiprocessing.shared_memory import SharedMemory
memory, lock = SharedMemory(create=True, size=9), multiprocessing.get_context("spawn").Lock()
lokys = _multiprocessing.SemLock(1, 1, 1, f"/loky-{os.getpid()}-test", False)
names = [memory.name, *(f"sem.{name[1:]}" for name in (lock._semlock.name, lokys.name))]
with open(sys.argv[1] + ".new", "w") as note:
    print(*(f"/dev/shm/{name}" for name in names), file=note)
os.rename(note.name, sys.argv[1])
time.sleep(99)
"""


def tracked(note: Path) -> list[Path]:
    """Return what is there of a process's that has written this."""
    until(note.exists)
    found = [Path(word) for word in note.read_text().split()]
    assert all(path.exists() for path in found)
    return found


def test_shared_memory_goes_although_its_tracker_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "names"

    async def story() -> list[Path]:
        backend = Backend([sys.executable, "-c", TRACKED, str(note)], tmp_path / "log")
        await backend.start()
        found = await asyncio.to_thread(tracked, note)
        trackers = [found for found in below("resource_tracker") if found.ppid() != os.getpid()]
        assert trackers
        for tracker in trackers:
            tracker.kill()
        await backend.stop()
        return found

    assert not [path for path in asyncio.run(story()) if path.exists()]


def test_what_tidies_up_after_a_session_is_not_ended_with_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", TRACKED, str(tmp_path / "names")], start_new_session=True) as leader:
        memory, semaphore, lokys = tracked(tmp_path / "names")
        (tracker,) = below("resource_tracker", leader.pid)
        leader.kill()
    end_session(leader.pid)
    until(lambda: not (memory.exists() or semaphore.exists() or alive(tracker.pid)))
    lokys.unlink()  # of which no tracker knows


def test_a_folder_is_removed_although_the_guard_holds_it(tmp_path: Path) -> None:
    """As over a pilot: nobody else takes the folder while it lives."""
    private = folder.make(str(tmp_path))
    held = folder.hold(private)
    command = [sys.executable, "-I", "-S", guard.__file__, "--held", str(held), "--sweep", private, "--", "sleep", "60"]
    with subprocess.Popen(command, pass_fds=[held]) as process:
        os.close(held)
        folder.sweep(str(tmp_path / "any"))
        assert Path(private).is_dir()
        until(lambda: [child.name() for child in psutil.Process(process.pid).children()] == ["sleep"])
        assert not any(".held" in os.readlink(link) for link in Path(f"/proc/{child_of(process.pid)}/fd").iterdir())
        process.terminate()
        process.wait(10)
    assert not Path(private).exists()


def child_of(pid: int) -> int:
    return int(psutil.Process(pid).children()[0].pid)


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
        return backend.log_tail()

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
        return backend.log_tail()

    assert asyncio.run(story()) == f"None x {{{core}}}"


def test_the_end_of_a_log_is_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_text("one\ntwo\nthree\n")
    assert log_tail(log, 100) == "one\ntwo\nthree"
    assert log_tail(log, 8) == "three"


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
        asyncio.run(over(Backend(["true"], tmp_path / "log", sweep=[str(segment)], patience=20 if dies else 0)))
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
    assert int(nice) == min(19, os.nice(0) + 5)
    assert group.endswith("nice 5")
    assert Path("/proc/self/autogroup").read_text() == ours


def ending(backend: Backend) -> str:
    async def end() -> str:
        await backend.start()
        return await backend.wait()

    return asyncio.run(end())


def test_what_cannot_be_started_tells_it_as_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    backend = Backend(["true"], tmp_path / "log", files={str(tmp_path / "file" / "settings"): ""})
    assert ending(backend).startswith("it could not be started: ")


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("when", ["before it begins", "while it begins"])
def test_what_is_to_end_before_it_has_begun_does_end(tmp_path: Path, when: str, stops: bool) -> None:
    """As when a task is cancelled whose process takes a moment to start."""

    async def end() -> str:
        backend = Backend(["sleep", "100"], tmp_path / "log", grace=0.3)
        starting = asyncio.create_task(backend.start())
        if when == "while it begins":
            await asyncio.sleep(0)
        assert not backend.alive
        if stops:
            await backend.stop()
        else:
            backend.give_up("it was cancelled")
        await starting
        async with asyncio.timeout(10):
            return await backend.wait()

    told = asyncio.run(end())
    assert (
        told.startswith(("it was never started", "it left", "it was ended by")) if stops else told == "it was cancelled"
    )


def test_a_log_without_room_costs_its_words_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert ending(Backend(["false"], tmp_path / "file" / "log")) == "it left with exit code 1"


def test_a_program_that_does_not_answer_is_killed_with_what_it_started(tmp_path: Path) -> None:
    script = tmp_path / "hangs"
    script.write_text(f"#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! > {tmp_path}/pid\nsleep 1000\n")
    script.chmod(0o700)
    began = time.monotonic()
    assert asyncio.run(asked([str(script)], 1.0)) is None
    assert time.monotonic() - began < 10
    until(lambda: not alive(int((tmp_path / "pid").read_text())))
    assert asyncio.run(asked(["echo", "yes"], 10)) == b"yes\n"
