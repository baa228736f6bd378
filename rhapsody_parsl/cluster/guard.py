"""Stands over one command so that nothing of it is left behind. Standard library only; run as a script, `python -I -S`.

The guard adopts every orphan of the command (Linux subreaper), and watches three things: the command, its own parent,
and the lifeline, a pipe on standard input whose other end only the owner holds. When one of them ends, it asks the
command to leave (SIGTERM), waits, kills whatever still lives below it, and sweeps the files the command is known to
leave.
"""

import argparse
import contextlib
import ctypes
import fnmatch
import glob
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
MPI_SEGMENTS = ("/dev/shm/mpich_shm_*", "/dev/shm/mpich_vci_*", "/dev/shm/sm_segment.*", "/dev/shm/vader_segment.*")  # noqa: S108 - their choice
DRAGON_SEGMENTS = "/dev/shm/DD{uid3}*"  # noqa: S108 - each node's are named after its user and a launcher of its own
_IN_THE_MAKING = 0.3
"""Seconds that a program may take from making shared memory to mapping it."""
_TIDY_TURNS = 150
_AUTOGROUP_TURNS = 20
_libc = ctypes.CDLL(None, use_errno=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", default="", help="pin the command to these, comma separated")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the command, and of our session's share")
    parser.add_argument("--grace", type=float, default=3.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--sweep", action="append", default=[], help="glob of files and folders to remove at the end")
    parser.add_argument("--sweep-new", action="append", default=[], help="the same, if it was not there before")
    parser.add_argument("--settle", type=float, default=0.0, help="seconds that a file to remove may be in use yet")
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    arguments.command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    return arguments


def _in_child() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _yield_to_others(nice: int) -> None:
    """Let other processes before ours on the cores that we share with them.

    Linux shares a core between sessions first and within each of them by niceness (sched(7), autogroup), and a session
    can get a core all to itself for as long as it likes: kernel 6.18 was seen to leave others none at all where one
    thread works and some wake a hundred times a second, as an engine's do. A session of lower weight does not.
    """
    os.nice(nice)
    if os.getsid(0) != os.getpid():
        return  # not ours
    for _ in range(_AUTOGROUP_TURNS):
        try:
            with open("/proc/self/autogroup", "w") as autogroup:
                autogroup.write(str(nice))
        except BlockingIOError:  # one change in a tenth of a second, of the whole machine
            time.sleep(0.1)  # noqa: TID251 - nothing tells when it is over
        except OSError:
            return  # the kernel has none
        else:
            return


def _children() -> "list[int]":
    """Ids of every process below this one, zombies not counted.

    But what is below a zombie counts: the first thread of a killed process may be one while others still end.
    """
    parents, zombies = {}, set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    state, parent = stat.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            parents[int(entry)] = int(parent)
            if state == b"Z":
                zombies.add(int(entry))
    below, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return sorted(below - zombies - {os.getpid()})


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap() -> None:
    """Collect orphans that ended, so that they are no zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _tidies(pid: int) -> bool:
    """Whether it removes what the dead leave, and then leaves: multiprocessing's resource tracker, or a guard."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            words = line.read()
    except OSError:
        return False
    # a guard has the file for a word; an ssh that leads to one has it within a word, and has nothing to tidy
    return b"multiprocessing.resource_tracker" in words or os.fsencode(__file__) in words.split(b"\0")


def mpi_segments(pids: "Iterable[int]") -> "set[str]":
    """Return the shared memory that MPI has in some processes: its library removes it only at an end of their own.

    What has no name any more does not count.
    """
    found = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps") as maps:
                named = {line.split(None, 5)[5].strip() for line in maps if "/dev/shm/" in line}  # noqa: S108 - read, not made
        except OSError:
            continue
        found |= {path for pattern in MPI_SEGMENTS for path in fnmatch.filter(named, pattern)}
    return {path for path in found if not path.endswith("(deleted)")}


def _unlink(paths: "set[str]") -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _kill_all() -> None:
    """Kill all below us, again until none is left; trackers and guards get three seconds to tidy up first."""
    for turn in range(200):
        alive = _children()
        if not alive:
            return
        segments = mpi_segments(alive)
        for pid in alive:
            if turn >= _TIDY_TURNS or not _tidies(pid):
                _signal(pid, signal.SIGKILL)
        _unlink(segments)
        _reap()
        select.select([], [], [], 0.02)


def _wait(child: int, lifeline: bool, wakeup: int) -> None:
    """Return when the command, the owner or our parent ends, or we are told to stop."""
    pidfd = os.pidfd_open(child)
    watched = [pidfd, wakeup, *([0] if lifeline else [])]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if pidfd in ready or (0 in ready and not os.read(0, 64)):
            break
        if wakeup in ready and set(os.read(wakeup, 64)) & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
            break
        _reap_orphans(child)
    os.close(pidfd)


def _reap_orphans(child: int) -> None:
    """Collect ended orphans but leave the command's own status to its `Popen`."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)


def _ask_to_leave(process: "subprocess.Popen[bytes]", grace: float) -> None:
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def _mapped(paths: "list[str]") -> "set[str]":
    """Those of the files that a living process has mapped: short names can be another's too."""
    used = set()
    for entry in os.listdir("/proc") if paths else ():
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/maps") as maps:
                    text = maps.read()
            except OSError:
                continue
            used |= {path for path in paths if path in text}
    return used


def sweep(patterns: "Sequence[str]", pid: int = 0, settle: float = 0.0, age: float = 0.0) -> None:
    """Remove files and folders that nobody has mapped.

    Args:
        patterns: Globs; `{pid3}` and `{uid3}` are the last three digits of `pid` and of our user id.
        pid: A process.
        settle: Seconds to try again while somebody has one mapped, or writes in a folder.
        age: Spare what was changed less than so many seconds ago.
    """
    deadline = time.monotonic() + settle
    while _sweep_once(patterns, pid, age) and time.monotonic() < deadline:
        select.select([], [], [], 0.2)


def _is_young(path: str, age: float) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime < age
    except OSError:
        return True


def _sweep_once(patterns: "Sequence[str]", pid: int, age: float) -> bool:
    """Remove; whether something stays."""
    users = {str(os.getuid())[-3:], glob.escape(os.environ.get("USER", "")[-3:])} - {""}  # Dragon takes either
    stays = False
    for pattern in patterns:
        found = [path for user in users for path in glob.glob(pattern.format(pid3=str(pid)[-3:], uid3=user))]
        used = _mapped(found)
        found = [path for path in found if not (age and _is_young(path, age))]
        for path in set(found) - used:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
                stays |= os.path.exists(path)
            else:
                _unlink({path})
        stays |= bool(used)
    return stays


def _own(patterns: "Sequence[str]") -> "set[str]":
    """Return the files of our user that the patterns name."""
    found = set()
    for path in (path for pattern in patterns for path in glob.glob(pattern)):
        with contextlib.suppress(OSError):
            if os.lstat(path).st_uid == os.geteuid():
                found.add(path)
    return found


def _sweep_new(patterns: "Sequence[str]", before: "set[str]") -> None:
    """Remove what the command made and nobody has mapped, now and a little later: another's may be in the making."""
    if dead := _own(patterns) - before:
        dead -= _mapped(list(dead))
        select.select([], [], [], _IN_THE_MAKING if dead else 0)
        _unlink(dead - _mapped(list(dead)))


def main() -> int:
    """Run the command under guard; the exit code is the command's (128 + signal when a signal ended it)."""
    arguments = _arguments()
    owner = os.getppid()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if os.getppid() != owner:
        return 1  # the owner ended before the kernel knew that we care
    if arguments.cores:
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    if arguments.nice:
        _yield_to_others(arguments.nice)
    before = _own(arguments.sweep_new)
    # a group of its own but no session: Dragon's launcher moves itself to a new group, which a session leader may not
    process = subprocess.Popen(
        arguments.command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_in_child,  # noqa: PLW1509 - the guard has one thread
    )
    _wait(process.pid, arguments.lifeline, read)
    segments = mpi_segments(_children())
    if process.poll() is None:
        _ask_to_leave(process, arguments.grace)
    _kill_all()
    _unlink(segments)
    code = process.wait()
    sweep(arguments.sweep, process.pid, arguments.settle)
    _sweep_new(arguments.sweep_new, before)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
