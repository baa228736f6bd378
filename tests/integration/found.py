"""What a task looks at to know the process that it runs in. Nothing of the product is imported here: a task may not."""

import faulthandler
import io
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGCHLD")
WORLD = ("PMI", "MPI_LOCAL", "OMPI_COMM", "OMPI_WORLD", "OMPI_UNIVERSE", "HYDI_", "SLURM_PROCID", "SLURM_STEP")
RENDEZVOUS = (
    "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK",
)  # fmt: skip
LOOK = """
while read -r name value; do case $name in SigIgn:|SigBlk:) echo "$name $value";; esac; done < /proc/$$/status
ls -l /proc/$$/fd | sed -n 's/.* \\([0-9]*\\) -> /fd: \\1 /p'
echo "read: $(cat | wc -c)"
env | sed -n 's/^\\([A-Z_]*\\)=.*/env: \\1/p'
"""
"""A program of the shell's that says what it finds."""
_GLIBCS = 0b11 << 31
"""Signals 32 and 33, which are glibc's own."""


def read(said: str) -> dict[str, Any]:
    """Return what such a program said."""
    lines = [line.partition(": ")[::2] for line in said.splitlines() if ": " in line]
    masks = {name: int(value, 16) & ~_GLIBCS for name, value in lines if name.startswith("Sig")}
    opened = [value for name, value in lines if name == "fd" and int(value.split()[0]) > 2 and "/dev/tty" not in value]
    world = [value for name, value in lines if name == "env" and value.startswith(WORLD)]
    return {**masks, "fds": opened, "read": [v for n, v in lines if n == "read"], "world": world}


def _by_subprocess(line: str) -> None:
    subprocess.run(["/bin/sh", "-c", line], close_fds=False, check=True, timeout=20)


def _by_system(line: str) -> None:
    os.system(line)  # noqa: S605 - that is the point


def _by_spawn(line: str) -> None:
    os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", line], os.environ), 0)


def _by_fork(line: str) -> None:
    child = os.fork()
    if child == 0:
        os.execv("/bin/sh", ["sh", "-c", line])  # noqa: S606 - that is the point
    os.waitpid(child, 0)


def programs() -> dict[str, Any]:
    """Return what programs find, by the way that they are started."""
    found: dict[str, Any] = {}
    ways: tuple[Callable[[str], None], ...] = (_by_subprocess, _by_system, _by_spawn, _by_fork)
    with tempfile.NamedTemporaryFile() as out:
        for way in ways:
            way(f"({LOOK}) > {out.name}")
            found[way.__name__] = read(Path(out.name).read_text())
    return found


def in_a_forked_child() -> list[str]:
    """Return what a forked child has open besides the standard streams and its pipe."""
    ours = set(_open())
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        before = [word for word in _open() if word not in (_lead(source), _lead(sink))]
        os.write(sink, json.dumps([word for word in before if word in ours]).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as said:
        known: list[str] = json.load(said)
    os.waitpid(child, 0)
    return known


def _open() -> list[str]:
    return [_lead(int(name)) for name in os.listdir("/proc/self/fd") if int(name) > 2 and _lead(int(name))]


def _lead(descriptor: int) -> str:
    try:
        to = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
    return "" if to.startswith("/proc/") else to


def basics() -> dict[str, Any]:
    """Return what costs nothing to look at."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "handlers": {name: str(signal.getsignal(getattr(signal, name))) for name in SIGNALS},
        "interrupts": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "mask": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "umask": mask,
        "home": os.environ.get("HOME"),
        "stdin": sys.stdin.read(),
        "world": sorted(name for name in os.environ if name.startswith(WORLD)),
        "environment": dict(os.environ),
        "timers": [signal.getitimer(timer)[0] for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "deep": sys.getrecursionlimit(),
        "cores": len(os.sched_getaffinity(0)),
        "says": [os.readlink(f"/proc/self/fd/{file.fileno()}") for file in (sys.stdin, sys.stdout, sys.stderr)],
        "main": sorted(name for name in vars(sys.modules["__main__"]) if not name.startswith("__")),
    }


def has_cores(until: str = "") -> tuple[int, int, str]:
    """Return which process this is, how many cores it has, and how many threads it is told to start.

    Args:
        until: A file to wait for, if any.
    """
    while until and not os.path.exists(until):
        time.sleep(0.01)
    return os.getpid(), len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"]


def finds(comm: Any = None) -> dict[str, Any]:
    """Return what a task finds."""
    said: list[int] = []
    thread = threading.Thread(target=lambda: said.append(subprocess.run(["/bin/true"], check=False).returncode))
    thread.start()
    thread.join()
    return {"pid": os.getpid(), "basics": basics(), "programs": programs(), "open": in_a_forked_child(), "thread": said}


def note_what_it_finds(path: str) -> str:
    """Do so in a file, and return a prompt."""
    Path(path).write_text(json.dumps(finds()))
    return "hello"


def forks(how: str, comm: Any = None) -> int:
    """Fork; the child leaves in one of many ways, the parent returns its exit code."""
    child = os.fork()
    if child == 0:
        if how == "sys.exit":
            sys.exit(5)
        if how == "os._exit":
            os._exit(7)
        if how == "raise":
            raise ValueError("in the child")
        if how == "words":
            sys.exit("words")
        return -1  # out of the function, in the child
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return 1000


def leaves_running(comm: Any = None) -> list[int]:
    """Start a child, a program in a session of its own, a daemon, and one that heeds no SIGTERM; leave them running."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        time.sleep(100)
        os._exit(0)
    if (between := os.fork()) == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            time.sleep(100)
        os.write(sink, str(daemon).encode())
        os._exit(0)
    os.waitpid(between, 0)
    program = subprocess.Popen(["/bin/sleep", "100"], start_new_session=True)
    deaf = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    pids = [child, program.pid, deaf.pid, int(os.read(source, 20))]
    os.close(source)
    os.close(sink)
    return pids


def _modules_of_ours(number: int) -> tuple[float, list[str]]:
    return math.sqrt(number), sorted(name for name in sys.modules if name.split(".")[0] in ("rhapsody_parsl", "mpi4py"))


def pools(comm: Any = None) -> dict[str, Any]:
    """Use multiprocessing in each start method."""
    found = {}
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            number, modules = pool.map(_modules_of_ours, [9])[0]
            found[method] = [number, modules if method != "fork" else []]
    return found


def is_careless(folder: str, comm: Any = None) -> int:
    """Change all that a task can change of its process, and put nothing back."""
    faulthandler.dump_traceback_later(0.3, exit=True)
    os.chdir(folder)
    os.umask(0o777)
    os.environ["HOME"] = folder
    os.environ = {}  # type: ignore[assignment]  # noqa: B003 - that is the point
    sys.argv = ["mine", "--loud"]
    sys.setrecursionlimit(200)
    sys.stdin.close()
    sys.stdout, sys.stderr = None, io.StringIO()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.close(2)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (9, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0.3)
    return os.getpid()


def lowers_for_good(comm: Any = None) -> None:
    """Do what only some may undo, and we never do."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    os.nice(1)


def basics_alone(comm: Any = None) -> dict[str, Any]:
    """Return what costs nothing to look at, to any caller."""
    return basics()


def waits() -> str:
    """Be at work for a second."""
    time.sleep(1)
    return "waited"


def ends_its_group(comm: Any = None) -> None:
    """Send SIGTERM to the process group, as `trap 'kill 0' EXIT` does in many a script."""
    os.killpg(0, signal.SIGTERM)
    time.sleep(10)


def closes_all(comm: Any = None) -> None:
    """Close all descriptors that are none of its own, as a program does that becomes a daemon."""
    os.closerange(3, 256)


def uses_dragon() -> list[Any]:
    """Use what Dragon gives a process that it started."""
    import dragon  # noqa: F401 - first, so that its start method is known
    from dragon.data.ddict import DDict
    from dragon.native.queue import Queue

    queue = Queue(maxsize=2)
    context: Any = multiprocessing.get_context("dragon")
    child = context.Process(target=queue.put, args=("from a child",))
    child.start()
    said = queue.get(timeout=30)
    child.join()
    queue.destroy()
    shared = DDict(1, 1, 1 << 26)
    shared["here"] = 3
    found = shared["here"]
    shared.destroy()
    return [said, found]


def interrupts_itself(comm: Any = None) -> str:
    """Send SIGINT to this very process."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        return "interrupted"
    return "slept"


def ends_a_pipe(comm: Any = None) -> list[str]:
    """Write where nobody reads: an error here, and the end of a program that is started by the shell."""
    source, sink = os.pipe()
    os.close(source)
    try:
        os.write(sink, b"x")
    except BrokenPipeError:
        told = "BrokenPipeError"
    else:
        told = "nothing"
    finally:
        os.close(sink)
    with tempfile.NamedTemporaryFile() as out:
        os.system(f"(yes; echo $? > {out.name}) | true")  # noqa: S605 - that is the point
        time.sleep(0.1)
        code = Path(out.name).read_text().strip()
    return [told, code]


def worlds(prefix: str, code: str, comm: Any = None) -> list[str] | None:
    """Have rank 0 start an MPI program: alone, then by the launch line."""
    said = None
    if comm.rank == 0:
        alone = [sys.executable, "-c", code]
        lines = [alone, [*os.environ[prefix].split(), *alone]]
        said = [subprocess.run(line, capture_output=True, check=True, text=True, timeout=60).stdout for line in lines]
    comm.Barrier()
    return said


def where_it_is(fails: bool = False, comm: Any = None) -> dict[str, Any]:
    """Say where it is, and what programs find there; leave a file."""
    Path(f"left-{os.getpid()}").touch()
    if fails:
        raise ValueError("as wanted")
    told = subprocess.run(["/bin/sh", "-c", "pwd; echo $OF_THE_TASK"], capture_output=True, text=True, check=True)
    return {
        "cwd": os.getcwd(),
        "programs": told.stdout.split(),
        "variables": {name: os.environ.get(name) for name in ("OF_THE_TASK", "OMP_NUM_THREADS", "RHAPSODY_SANDBOX")},
    }
