"""The functions that the integration tests send: a worker imports this module by its name."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def add(x: int, y: int = 1) -> int:
    return x + y


def same(thing: Any) -> Any:
    return thing


def specification(parsl_resource_specification: Any) -> Any:
    return parsl_resource_specification


def size_of(data: bytes) -> tuple[int, bytes]:
    return len(data), data[::-1]


def fail_deeply(word: str) -> None:
    def deeper() -> None:
        raise KeyError(word)

    deeper()


class NoPickle:
    def __reduce__(self) -> Any:
        raise TypeError("this one stays here")


def take(thing: object) -> None:
    """Take anything."""


def sleep_on_ranks(note: str, comm: Any = None) -> None:
    """Touch a file once all ranks are there, and sleep."""
    comm.Barrier()
    Path(note).touch()
    time.sleep(100)


def block_of_ours(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ["PARSL_WORKER_BLOCK_ID"]


def unpicklable() -> NoPickle:
    return NoPickle()


def unpicklable_error() -> None:
    error = ValueError("with a lock in its pocket")
    error.pocket = NoPickle()  # type: ignore[attr-defined]  # that is the point
    raise error


def sleep_with_a_child(folder: str, seconds: float = 100) -> None:
    """Write the ids of this process and of a sleeping grandchild in a session of its own, and sleep."""
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '100'], start_new_session=True, stdout=-3, stderr=-3).pid)"
    )
    started = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    note = Path(folder) / "pids"
    new = note.with_suffix(f".{os.getpid()}")  # two of us may write at once
    new.write_text(f"{os.getpid()} {started.stdout}")
    new.rename(note)
    time.sleep(seconds)


def kill_self(folder: str = "", times: int = 1) -> str:
    """Die, the first `times` times."""
    marks = len(list(Path(folder).glob("died-*"))) if folder else 0
    if marks < times:
        if folder:
            (Path(folder) / f"died-{marks}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"alive after {marks} deaths"


def die_at(number: int, deadly: int) -> int:
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def has_loaded(module: str) -> bool:
    return module in sys.modules


def pid() -> int:
    return os.getpid()


def dirty(folder: str) -> str:
    """Leave all that a careless task leaves."""
    os.chdir(folder)
    os.environ["RHAPSODY_TEST_LEAK"] = "yes"
    return os.getcwd()


def surroundings() -> tuple[str, str | None, list[int]]:
    return os.getcwd(), os.environ.get("RHAPSODY_TEST_LEAK"), sorted(os.sched_getaffinity(0))


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def touch_and_nap(path: str, seconds: float) -> str:
    Path(path).touch()
    time.sleep(seconds)
    return path


def meet(folder: str, ours: int) -> int:
    """Return when the other of two is at work, too."""
    Path(folder, str(ours)).touch()
    while not Path(folder, str(1 - ours)).exists():
        time.sleep(0.01)
    return ours


def shell(line: str, stdout: str | None = None, stderr: str | None = None) -> str:
    return line


def fail_once(path: str) -> str:
    """Fail unless the file is there, which is then."""
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("the first time")
    return path


def reversed_by_a_gang(data: bytes, comm: Any = None) -> tuple[int, bytes]:
    """Return what rank 0 got, reversed, once every rank has it."""
    assert comm.allreduce(len(data)) == comm.size * len(data)
    return len(data), data[::-1]


def nap_over(seconds: float, data: bytes) -> bytes:
    time.sleep(seconds)
    return data


def die_over(folder: str, times: int, data: bytes) -> bytes:
    Path(folder).mkdir(exist_ok=True)
    kill_self(folder, times)
    return data


def rank_sum(comm: Any = None) -> int:
    return int(comm.allreduce(1))


def launch_nothing(ranks: int) -> int:
    """Launch an MPI program that does nothing; return how many ranks failed."""
    line = f"$PARSL_MPI_PREFIX {sys.executable} -c 'from mpi4py import MPI'"
    return ranks if subprocess.run(line, shell=True, check=False).returncode else 0  # noqa: S602 - as bash apps do


def write(path: str, size: int) -> int:
    return Path(path).write_bytes(b"x" * size)


def pid_and_limit() -> tuple[int, int]:
    """Return the process, and its soft limit of open files."""
    return os.getpid(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def nap_and_limit(seconds: float) -> tuple[int, int]:
    """Return the limits of open files."""
    time.sleep(seconds)
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def note_and_nap(note: str, word: str, seconds: float) -> float:
    """Add a line to a file, and sleep."""
    with Path(note).open("a") as file:
        file.write(f"{word}\n")
    time.sleep(seconds)
    return seconds


def wait_for_signal() -> float:
    """Return when SIGUSR1 came."""
    came: list[float] = []
    signal.signal(signal.SIGUSR1, lambda *_: came.append(time.time()))
    while not came:
        time.sleep(0.01)
    return came[0]


def wait_for_signal_on_ranks(comm: Any = None) -> float:
    return wait_for_signal()


def trap_signal(stdout: str = "") -> str:
    """Have a shell and a program below it say that SIGUSR1 came."""
    wait = "import signal; signal.signal(signal.SIGUSR1, lambda *_: print('program', flush=True)); signal.pause()"
    return f'trap "came=1" USR1; {sys.executable} -c "{wait}" & wait $!; wait $!; test $came && echo shell'


def seconds_left() -> float | None:
    from rhapsody_parsl import time_left

    return time_left()


def where_and_word() -> tuple[str, str]:
    return os.getcwd(), os.environ.get("WORD", "")
