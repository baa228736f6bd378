"""Stands over the agent of a host, and sweeps when it is gone, whatever ended it.

Standard library only; run as a script, `python -I -S`. Its standard input is the lifeline: first a line with what the
agent is to know, later its end, which is the pilot's. Whatever carries it (srun, ssh, ...) may end with it or before.
Its standard output has one line, if any: why the agent cannot be there, or leaves.
"""

import argparse
import contextlib
import glob
import json
import os
import select
import signal
import subprocess
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from rhapsody_parsl.hosts import data_place, folder, guard, leftovers, limits

_MOST_FILES = 100_000
"""Two for each process; as many as the hard limit allows."""
_LAST_WRITERS = 5.0
"""Seconds for what writes in our folder and is not below us: Open MPI's daemon is a step of its own under Slurm."""
_GRACE = 15.0
_AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")


def _first_line() -> str:
    """Return what the agent is to know; "" when the pilot is gone before."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(0, 1 << 16)
        if not more:
            return ""
        data += more
    return data.decode()


def _carrier() -> "list[int]":
    """Flux kills what it started when the way from the pilot ends, and closes no standard input of what is below."""
    try:
        return [os.pidfd_open(os.getppid())]
    except OSError:  # it is outside our container
        return []


def _in_agent() -> None:
    """Let it be told to leave from its first moment on."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    guard.leave_with_parent()


def _start(private: str, held: int) -> "subprocess.Popen[bytes]":
    """Start the agent; it leaves when we are killed."""
    limits.allow(_MOST_FILES)
    argv = [sys.executable, "-I", "-S", _AGENT, private, *map(str, (held, *limits.raised()))]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        pass_fds=[held],
        preexec_fn=_in_agent,  # noqa: PLW1509 - we have one thread
    )


def _stand_over(private: str, held: int) -> None:
    """Return when the agent is gone; it is told to leave when the pilot is, or what carries us."""
    carrier = _carrier()
    process = _start(private, held)
    poller = select.poll()
    for descriptor in (0, os.pidfd_open(process.pid), *carrier):
        poller.register(descriptor, select.POLLIN)
    while (0, select.POLLIN) in poller.poll() and os.read(0, 64):
        pass  # nothing more is said there
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)


def main() -> None:
    """Have an agent here until it or the pilot is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=guard.PLAIN)
    parser.add_argument("folder", help="private, on this host's own disk")
    private = parser.parse_args().folder
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # our standard input tells us when to leave
    try:
        made_place = folder.take(private)
    except OSError as problem:
        no = json.dumps({"no": f"{problem}; set TMPDIR to a folder that every host has"})
        os.write(1, f"{no}\n".encode())
        return
    guard.adopt_orphans()
    folder.sweep(private)
    folder.sweep(data_place.memory_of(private))
    held = folder.hold(private)
    if line := _first_line():
        folder.write_private(os.path.join(private, "agent"), line)
        _stand_over(private, held)
    _leave_nothing(private, held, made_place)


def _leave_nothing(private: str, held: int, made_place: bool) -> None:
    """Kill what the agent left to us, or a killed guard, and remove our folder."""
    guard.kill_all()
    os.close(held)
    leftovers.sweep([glob.escape(private), glob.escape(data_place.memory_of(private))], patience=_LAST_WRITERS)
    leftovers.sweep_memory()
    if made_place:
        with contextlib.suppress(OSError):  # what tasks left there is theirs
            os.rmdir(os.path.dirname(private))


if __name__ == "__main__":
    main()
