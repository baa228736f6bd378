"""Stands over one command so that nothing of it is left behind. Standard library only; run as a script, `python -I -S`.

The guard adopts every orphan of the command (Linux subreaper), and watches three things: the command, its own parent,
and the lifeline, a pipe on standard input whose other end only the owner holds. When one of them ends, it asks the
command to leave (SIGTERM), waits, kills whatever still lives below it, and sweeps the files the command is known to
leave. A guard that is killed itself has a second one for its `burial`, which its owner starts.
"""

import argparse
import contextlib
import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

if __name__ == "__main__":  # a script in isolated mode finds nothing of ours
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from rhapsody_parsl.hosts import leftovers

__all__ = ("PLAIN", "adopt_orphans", "burial", "kill_all", "leave_with_parent", "processes")

PLAIN = functools.partial(argparse.HelpFormatter, width=120)
"""Asks no terminal for its width: argparse loads ten modules and libraries for that, even when nobody wants help."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGNAL = 128
"""An exit code is this plus the signal's number, as a shell's is."""
_TIDY_TURNS = 150
_AUTOGROUP_TURNS = 20
_libc = ctypes.CDLL(None, use_errno=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=PLAIN)
    parser.add_argument("--cores", default="", help="pin the command to these, comma separated")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the command, and of our session's share")
    parser.add_argument("--grace", type=float, default=3.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--sweep", action="append", default=[], help="glob of files and folders to remove at the end")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds that a file to remove may be in use yet")
    parser.add_argument("--held", type=int, default=-1, help="descriptor that holds a folder to remove at the end")
    parser.add_argument("--bury", type=int, default=0, help="kill what is left of this session first")
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    arguments.command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    return arguments


def leave_with_parent() -> None:
    """Have the kernel send us SIGTERM when our parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _in_child(blocked: "Sequence[int]") -> None:
    leave_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


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


def processes() -> "dict[int, tuple[int, int, bool]]":
    """Return each process's parent, its session, and whether it is a zombie."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    state, parent, _, session = stat.read().rpartition(b")")[2].split()[:4]
            except OSError:
                continue
            found[int(entry)] = int(parent), int(session), state == b"Z"
    return found


def _with_all_below(roots: "set[int]", there: "dict[int, tuple[int, int, bool]]") -> "list[int]":
    """Return these and every process below them, zombies not counted.

    But what is below a zombie counts: the first thread of a killed process may be one while others still end.
    """
    below, grown = set(roots), True
    while grown:
        more = {pid for pid, (parent, _, _) in there.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return sorted(pid for pid in below if pid in there and not there[pid][2])


def _children() -> "list[int]":
    """Ids of every process below this one."""
    return [pid for pid in _with_all_below({os.getpid()}, processes()) if pid != os.getpid()]


def _of_session(leader: int) -> "list[int]":
    """Ids of the processes of a session, and of every one below them."""
    there = processes()
    return _with_all_below({pid for pid, (_, session, _) in there.items() if session == leader}, there)


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
    """Whether it removes what the dead leave, and then leaves: a resource tracker of Python's or loky's, or a guard."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            arguments = line.read()
    except OSError:
        return False
    # a guard has the file for a word; an ssh that leads to one has it within a word, and has nothing to tidy
    return b"resource_tracker import main" in arguments or os.fsencode(__file__) in arguments.split(b"\0")


def kill_all(living: "Callable[[], list[int]]" = _children) -> None:
    """Kill all below us, again until none is left; trackers and guards get three seconds to tidy up first.

    Args:
        living: Finds those to kill.
    """
    left = set[str]()
    for turn in range(200):
        alive = living()
        if not alive:
            break
        left |= leftovers.mapped_by(alive)
        for pid in alive:
            if turn >= _TIDY_TURNS or not _tidies(pid):
                _signal(pid, signal.SIGKILL)
        _reap()
        select.select([], [], [], 0.02)
    leftovers.remove_unused(left)


def adopt_orphans() -> None:
    """Become the parent of every orphan below us."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def burial(argv: "Sequence[str]", guard: int, code: int) -> "list[str]":
    """Return the argv of a guard that ends what a killed one stood over, and leaves what that would have.

    Args:
        argv: The killed one's.
        guard: Its process id, which is its session's.
        code: Its exit code, as of `subprocess`; the burial's is that of a command ended by this signal.
    """
    options = list(argv[: argv.index("--")])
    return [*options, "--bury", str(guard), "--", "/bin/sh", "-c", f"exit {_SIGNAL - code}"]


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


def main() -> int:
    """Run the command under guard; the exit code is the command's (128 + signal when a signal ended it)."""
    arguments = _arguments()
    owner = os.getppid()
    adopt_orphans()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if os.getppid() != owner:
        return 1  # the owner ended before the kernel knew that we care
    if arguments.held >= 0:
        os.set_inheritable(arguments.held, False)
    if arguments.bury:
        kill_all(lambda: _of_session(arguments.bury))
    if arguments.cores:
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    if arguments.nice:
        _yield_to_others(arguments.nice)
    code = _stand_over(arguments, read)
    if arguments.held >= 0:
        os.close(arguments.held)
    leftovers.sweep(arguments.sweep, arguments.patience)
    leftovers.sweep_memory(arguments.patience)
    return code if code >= 0 else _SIGNAL - code


def _stand_over(arguments: argparse.Namespace, wakeup: int) -> int:
    """Run the command and end it with all below; return its exit code."""
    # who is to sweep when we are killed hears of it once it can: see the pilot
    blocked = [signal.SIGTERM] if arguments.held >= 0 else []
    # a group of its own but no session: Dragon's launcher moves itself to a new group, which a session leader may not
    process = subprocess.Popen(
        arguments.command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: _in_child(blocked),  # noqa: PLW1509 - the guard has one thread
    )
    _wait(process.pid, arguments.lifeline, wakeup)
    left = leftovers.mapped_by(_children())
    if process.poll() is None:
        _ask_to_leave(process, arguments.grace)
    kill_all()
    leftovers.remove_unused(left)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
