"""What a memory watch does to real processes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from rhapsody_parsl.hosts import noted
from rhapsody_parsl.hosts.mark import Mark
from rhapsody_parsl.runtimes.memory_watch import MemoryWatch
from rhapsody_parsl.wire.memory_messages import Limit
from testing.waiting import until

MB = 10**6
THERE = "print('there', flush=True); sys.stdin.read()"
HOLDS = f"import sys; x = bytearray({{mb}} * 10**6); {THERE}"
ABOVE = "import subprocess, sys; subprocess.run([sys.executable, '-c', {below!r}])"
MAPS = f"""
import mmap, sys
file = open(sys.argv[1], "rb")
data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
total = sum(data[place] for place in range(0, len(data), 4096))
{THERE}
"""
GROWS = f"""
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: (held.append(bytearray(200 * 10**6)), time.sleep(60)))
held = []
{MAPS}
"""
FORKS = """
import gc, os, sys, time
gc.disable()
x = bytearray(150 * 10**6)
for _ in range(8):
    if not os.fork():
        {child}
        time.sleep(60)
time.sleep(0.5)
print('there', flush=True); sys.stdin.read()
"""
SHARED = f"""
import mmap, os, sys
name = sys.argv[1]
with open(name, "w+b") as file:
    file.truncate(200 * 10**6)
    data = mmap.mmap(file.fileno(), 0)
os.unlink(name)
data[:] = bytes(1) * len(data)
{THERE}
"""
SECRETIVE = f"import ctypes, sys; ctypes.CDLL(None).prctl(4, 0); x = bytearray(200 * 10**6); {THERE}"
DAEMON = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(36, 1)  # adopts orphans, as a worker does
if not os.fork():
    os.setsid()
    if not os.fork():
        x = bytearray(200 * 10**6)
        print("there", flush=True)
        time.sleep(60)
    os._exit(0)
os.wait()
sys.stdin.read()
"""


@contextmanager
def started(code: str, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[int]:
    with subprocess.Popen(
        [*before, sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"there\n"
            yield process.pid
        finally:
            for below in psutil.Process(process.pid).children(recursive=True):
                below.kill()
            process.kill()


@pytest.fixture
def watch(tmp_path: Path) -> MemoryWatch:
    return MemoryWatch(str(tmp_path))


def limited(watch: MemoryWatch, pids: "int | dict[str, int]", mb: int, run: int = 1, notes: bool = False) -> None:
    watch.limit(Limit(run, {"w": pids} if isinstance(pids, int) else pids, mb * MB, notes))


def state(pid: int) -> str:
    return str(psutil.Process(pid).status())


def test_a_run_below_its_limit_is_left_alone(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=50)) as pid:
        limited(watch, pid, 200)
        pauses = list[float]()
        for _ in range(20):
            assert watch.look() == []
            pauses.append(watch.pause() or 0.0)
        assert state(pid) != psutil.STATUS_STOPPED
        assert min(pauses) == pytest.approx(140 * MB / 4e9, rel=0.2), "after a look that took long it is longer"


def test_one_above_it_is_stopped_with_all_below_and_told_once(watch: MemoryWatch) -> None:
    with started(ABOVE.format(below=HOLDS.format(mb=200))) as pid:
        limited(watch, pid, 150, run=7)
        (exceeded,) = watch.look()
        assert (exceeded.run, watch.look()) == (7, [])
        assert exceeded.peak == pytest.approx(210 * MB, rel=0.1)
        (below,) = psutil.Process(pid).children()
        until(lambda: (state(pid), state(below.pid)) == (psutil.STATUS_STOPPED,) * 2, 5)
        assert watch.pause() is None


def test_the_processes_of_a_run_count_together(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=100)) as one, started(HOLDS.format(mb=100)) as other:
        limited(watch, {"a": one, "b": other}, 150)
        assert [exceeded.run for exceeded in watch.look()] == [1]


@pytest.fixture
def on_disk() -> Iterator[str]:
    """Return the name of a file of 200 MB that is not in memory, as one in `/tmp` may be."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:  # a temporary file that outlives a reboot lies on a disk
        file.write(bytes(200 * MB))
        file.flush()
        yield file.name


def test_pages_of_a_mapped_file_do_not_count(watch: MemoryWatch, on_disk: str) -> None:
    with started(MAPS, on_disk) as pid:
        assert psutil.Process(pid).memory_info().rss > 200 * MB
        limited(watch, pid, 100)
        assert watch.look() == []


def test_one_that_grows_behind_a_mapped_file_is_seen_at_once(watch: MemoryWatch, on_disk: str) -> None:
    """A costly count that found nothing is no rest from looking."""
    with started(GROWS, on_disk) as pid:
        limited(watch, pid, 100)
        assert watch.look() == []
        os.kill(pid, signal.SIGUSR1)
        until(watch.look, 1)


@pytest.mark.parametrize(
    ("child", "found"), [("pass", []), ("x[::4096] = bytes(len(x[::4096]))", [1])], ids=["share", "write"]
)
def test_pages_that_forked_children_share_count_once(watch: MemoryWatch, child: str, found: list[int]) -> None:
    with started(FORKS.format(child=child)) as pid:
        limited(watch, pid, 400)
        assert [exceeded.run for exceeded in watch.look()] == found


def test_shared_memory_counts(watch: MemoryWatch, tmp_path: Path) -> None:
    with started(SHARED, f"/dev/shm/{tmp_path.name}-{os.getpid()}") as pid:  # noqa: S108 - what is tested
        limited(watch, pid, 100)
        assert [exceeded.run for exceeded in watch.look()] == [1]


def test_one_that_lets_nobody_look_counts(watch: MemoryWatch) -> None:
    with started(SECRETIVE) as pid:
        limited(watch, pid, 100)
        assert [exceeded.run for exceeded in watch.look()] == [1]


def test_a_daemon_counts_below_who_adopts_it(watch: MemoryWatch) -> None:
    with started(DAEMON) as pid:
        limited(watch, pid, 100)
        assert [exceeded.run for exceeded in watch.look()] == [1]


@pytest.mark.parametrize(("stopped", "then"), [("continue", "sleeping"), ("stay", "stopped"), ("kill", "zombie")])
def test_what_was_stopped_goes_on_or_stays_or_is_killed(watch: MemoryWatch, stopped: str, then: str) -> None:
    with started(HOLDS.format(mb=100)) as pid:
        limited(watch, pid, 50)
        assert watch.look()
        until(lambda: state(pid) == psutil.STATUS_STOPPED, 5)
        watch.release(1, stopped)
        until(lambda: state(pid) == then, 5)
        assert watch.look() == []


def test_a_run_whose_processes_have_ended_holds_nothing(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=100)) as pid:
        limited(watch, pid, 10)
    assert watch.look() == []


def test_all_processes_are_not_read_at_each_look(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=10)) as pid:
        limited(watch, pid, 500)
        watch.look()
        began = time.process_time()
        for _ in range(50):
            watch.look()
        assert time.process_time() - began < 0.05


def test_a_run_that_gets_more_goes_on_and_one_that_gets_less_is_judged_by_that(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=100)) as pid:
        limited(watch, pid, 50)
        assert watch.look()
        until(lambda: state(pid) == psutil.STATUS_STOPPED, 5)
        limited(watch, pid, 40)
        assert watch.look() == [], "it is stopped, and was told"
        limited(watch, pid, 300)
        until(lambda: state(pid) == psutil.STATUS_SLEEPING, 5)
        assert watch.look() == []
        limited(watch, pid, 60)
        assert [exceeded.run for exceeded in watch.look()] == [1]
        watch.release(1, "kill")
        until(lambda: state(pid) == psutil.STATUS_ZOMBIE, 5)


def test_what_a_worker_held_before_the_task_does_not_count(watch: MemoryWatch, tmp_path: Path) -> None:
    mark = Mark(str(tmp_path), "w")
    with started(HOLDS.format(mb=200)) as pid:
        limited(watch, pid, 50)
        assert watch.look() == [], "it is not at this run's tasks yet"
        mark.holds(1, 180 * MB)
        assert watch.look() == []
        mark.holds(1, 100 * MB)
        (exceeded,) = watch.look()
        assert exceeded.peak == pytest.approx(110 * MB, rel=0.1)


def test_a_task_is_not_stopped_for_the_one_before_it(
    watch: MemoryWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another begins between the count and the stop."""
    mark = Mark(str(tmp_path), "w")
    mark.holds(1, 0)
    with started(HOLDS.format(mb=200)) as pid:
        limited(watch, pid, 50)
        count = watch._count

        def change(*arguments: object) -> int:
            mark.begin(2)
            return count(*arguments)  # type: ignore[arg-type]  # as they came

        monkeypatch.setattr(watch, "_count", change)
        assert watch.look() == []
        until(lambda: state(pid) == psutil.STATUS_SLEEPING, 5)
        monkeypatch.undo()
        assert len(watch.look()) == 1


def test_who_notes_itself_is_found_counted_and_killed(watch: MemoryWatch, tmp_path: Path) -> None:
    with started(HOLDS.format(mb=100), before=tuple(noted.argv(str(tmp_path), 3))) as pid:
        limited(watch, {}, 50, run=3, notes=True)
        assert [exceeded.run for exceeded in watch.look()] == [3]
        until(lambda: state(pid) == psutil.STATUS_STOPPED, 5)
        watch.release(3, "kill")
        until(lambda: state(pid) == "zombie", 5)
        assert list(tmp_path.iterdir()) == []


def test_a_note_is_of_one_process_and_not_of_the_next_with_its_number(tmp_path: Path) -> None:
    with started(HOLDS.format(mb=1), before=tuple(noted.argv(str(tmp_path), 3))) as pid:
        assert noted.noted(str(tmp_path), 3) == {pid}
        assert noted.noted(str(tmp_path), 33) == set()
        with started(HOLDS.format(mb=1)) as other:
            (tmp_path / f"3.{pid}.noted").rename(tmp_path / f"3.{other}.noted")
            assert noted.noted(str(tmp_path), 3) == set()


def test_a_worker_is_not_killed_for_what_its_run_exceeded_on_another_host(watch: MemoryWatch) -> None:
    with started(HOLDS.format(mb=10)) as pid:
        limited(watch, pid, 500)
        watch.look()
        watch.release(1, "kill")
        until(lambda: state(pid) == psutil.STATUS_SLEEPING, 5)
