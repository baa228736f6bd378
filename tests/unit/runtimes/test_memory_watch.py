"""What a memory watch does to real processes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from rhapsody_parsl.runtimes.memory_watch import MemoryWatch
from testing.waiting import until

MB = 10**6
HOLDS = "import sys; x = bytearray({mb} * 10**6); print('there', flush=True); sys.stdin.read()"
ABOVE = "import subprocess, sys; subprocess.run([sys.executable, '-c', {below!r}])"
MAPS = """
import mmap, sys
file = open(sys.argv[1], "rb")
data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
total = sum(data[place] for place in range(0, len(data), 4096))
print("there", flush=True)
sys.stdin.read()
"""


@contextmanager
def started(code: str, *arguments: str) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"there\n"
            yield process.pid
        finally:
            for below in psutil.Process(process.pid).children(recursive=True):
                below.kill()
            process.kill()


def state(pid: int) -> str:
    return str(psutil.Process(pid).status())


def test_a_run_below_its_limit_is_left_alone() -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=50)) as pid:
        watch.limit(1, [pid], 200 * MB)
        assert watch.look() == []
        assert state(pid) != psutil.STATUS_STOPPED
        assert watch.pause() == pytest.approx(140 * MB / 4e9, rel=0.2)


def test_one_above_it_is_stopped_with_all_below_and_told_once() -> None:
    watch = MemoryWatch()
    with started(ABOVE.format(below=HOLDS.format(mb=200))) as pid:
        watch.limit(7, [pid], 150 * MB)
        (exceeded,) = watch.look()
        assert (exceeded.run, watch.look()) == (7, [])
        assert exceeded.peak == pytest.approx(210 * MB, rel=0.1)
        (below,) = psutil.Process(pid).children()
        until(lambda: (state(pid), state(below.pid)) == (psutil.STATUS_STOPPED,) * 2, 5)
        assert watch.pause() is None


def test_the_processes_of_a_run_count_together() -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=100)) as one, started(HOLDS.format(mb=100)) as other:
        watch.limit(1, [one, other], 150 * MB)
        assert [exceeded.run for exceeded in watch.look()] == [1]


def test_pages_of_a_mapped_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(200 * MB))
    watch = MemoryWatch()
    with started(MAPS, str(tmp_path / "data")) as pid:
        assert psutil.Process(pid).memory_info().rss > 200 * MB
        watch.limit(1, [pid], 100 * MB)
        assert watch.look() == []
    (tmp_path / "data").unlink()


@pytest.mark.parametrize(("stopped", "then"), [("continue", "sleeping"), ("stay", "stopped"), ("kill", "zombie")])
def test_what_was_stopped_goes_on_or_stays_or_is_killed(stopped: str, then: str) -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=100)) as pid:
        watch.limit(1, [pid], 50 * MB)
        assert watch.look()
        until(lambda: state(pid) == psutil.STATUS_STOPPED, 5)
        watch.release(1, stopped)
        until(lambda: state(pid) == then, 5)
        assert watch.look() == []


def test_a_run_whose_processes_have_ended_holds_nothing() -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=100)) as pid:
        watch.limit(1, [pid], 10 * MB)
    assert watch.look() == []


def test_all_processes_are_not_read_at_each_look() -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=10)) as pid:
        watch.limit(1, [pid], 500 * MB)
        watch.look()
        began = time.process_time()
        for _ in range(50):
            watch.look()
        assert time.process_time() - began < 0.05


def test_a_run_that_gets_more_goes_on_and_one_that_gets_less_is_judged_by_that() -> None:
    watch = MemoryWatch()
    with started(HOLDS.format(mb=100)) as pid:
        watch.limit(1, [pid], 50 * MB)
        assert watch.look()
        until(lambda: state(pid) == psutil.STATUS_STOPPED, 5)
        watch.limit(1, [pid], 40 * MB)
        assert watch.look() == [], "it is stopped, and was told"
        watch.limit(1, [pid], 300 * MB)
        until(lambda: state(pid) == psutil.STATUS_SLEEPING, 5)
        assert watch.look() == []
        watch.limit(1, [pid], 60 * MB)
        assert [exceeded.run for exceeded in watch.look()] == [1]
        watch.release(1, "kill")
        until(lambda: state(pid) == psutil.STATUS_ZOMBIE, 5)
