"""Stands over the agent of a host, and sweeps when it is gone, whatever ended it.

Standard library only; run as a script, `python -I -S`. Its standard input is the lifeline: first a line with what the
agent is to know, later its end, which is the pilot's. Whatever carries it (srun, ssh, ...) may end with it or before.
What has no standard input to copy to many (pbsdsh, ...) leaves the line in a file that only we can read. The agent then
learns of the pilot's end by the silence on its connection. The line may be for many: each finds its own host in it.
Its standard output says why the agent cannot be there, or leaves, and that nothing is left of it.
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
from collections.abc import Iterable

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from rhapsody_parsl.hosts import data_place, folder, guard, leftovers, limits

_MOST_FILES = 100_000
"""Two for each process; as many as the hard limit allows."""
_LAST_WRITERS = 5.0
"""Seconds for what writes in our folder and is not below us: Open MPI's daemon is a step of its own under Slurm."""
_GRACE = 15.0
_AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")


def _first_line(file: "str | None") -> str:
    """Return what the agent is to know; "" when the pilot is gone before, or wants it no more."""
    if file:
        with contextlib.suppress(FileNotFoundError), open(file) as told:
            return told.read()
        return ""
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


def _staged(private: str, settings: "dict[str, object]") -> "tuple[str, str]":
    """Return the interpreter and the script of the agent, once its environment is here if it is to be.

    It comes from another host that has it already; else from where all hosts see it.
    """
    archive, source, keys = str(settings["archive"]), str(settings["source"]), settings["keys"]
    if not archive:
        return sys.executable, _AGENT
    from rhapsody_parsl.hosts import spreading, staging  # noqa: PLC0415 - few blocks want it

    own = os.path.join(private, "environment.tar")
    if source and isinstance(keys, list) and spreading.taken(own, source, str(keys[-1]).encode()):
        archive = own
    return str(settings["python"]), staging.there(_AGENT, staging.unpack(archive, private))


def _start(private: str, held: int, command: "list[str]") -> "subprocess.Popen[bytes]":
    """Start the agent; it leaves when we are killed."""
    limits.allow(_MOST_FILES)
    argv = [*command, private, *map(str, (held, *limits.raised()))]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        pass_fds=[held],
        preexec_fn=_in_agent,  # noqa: PLW1509 - we have one thread
    )


def _stand_over(private: str, held: int, command: "list[str]", lifeline: bool) -> None:
    """Return when the agent is gone; it is told to leave when the pilot is, or what carries us."""
    carrier = _carrier()
    process = _start(private, held, command)
    poller = select.poll()
    for descriptor in (*([0] if lifeline else []), os.pidfd_open(process.pid), *carrier):
        poller.register(descriptor, select.POLLIN)
    while (0, select.POLLIN) in poller.poll() and os.read(0, 64):
        pass  # nothing more is said there
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)


def _our_host(hosts: "Iterable[str]") -> str:
    """Return which of the hosts is this one, by the batch system's names for them; "" when none is."""
    import socket  # noqa: PLC0415 - one of many needs it, and not one that comes alone

    from rhapsody_parsl.cluster.names import our_names, ours  # noqa: PLC0415 - as above

    return next(iter(ours(hosts, our_names(os.environ, socket.gethostname()))), "")


def _say(host: str, no: str = "", **facts: bool) -> None:
    line = json.dumps({"host": host, "no": no, **facts})
    with contextlib.suppress(OSError):  # nobody may hear it any more
        os.write(1, f"{line}\n".encode())


def main() -> None:
    """Have an agent here until it or the pilot is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=guard.PLAIN)
    parser.add_argument("folder", help="private, on this host's own disk")
    parser.add_argument("--told", help="where the first line is, if no standard input comes here")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # our lifeline tells us when to leave
    if line := _first_line(options.told):
        settings = _ours(json.loads(line))
        if settings["host"]:
            _serve(options.folder, settings, lifeline=not options.told)
        else:
            _say("", f"{os.uname().nodename} is none of the block's other hosts, or cannot tell which")


def _ours(settings: "dict[str, object]") -> "dict[str, object]":
    """Return what is said to us, of what is said to many."""
    own = settings.pop("own")
    if not isinstance(own, dict) or not own:
        return settings
    host = _our_host(own)
    return {**settings, "host": host, **own.get(host, {})}


def _serve(private: str, settings: "dict[str, object]", *, lifeline: bool) -> None:
    """Have an agent in a private folder, which is made and removed."""
    host = str(settings["host"])
    try:
        made_place = folder.take(private)
    except OSError as problem:
        _say(host, f"{problem}; set TMPDIR to a folder that every host has", left=True)
        return
    guard.adopt_orphans()
    data_place.sweep(private)
    held = folder.hold(private)
    try:
        folder.write_private(os.path.join(private, "agent"), json.dumps(settings))
        python, agent = _staged(private, settings)
        _stand_over(private, held, [python, "-I", "-S", agent], lifeline)
    except OSError as problem:
        _say(host, f"{problem}, where its private folder is ({private}); set TMPDIR to a folder with room")
    _leave_nothing(private, held, made_place)
    _say(host, left=True)


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
