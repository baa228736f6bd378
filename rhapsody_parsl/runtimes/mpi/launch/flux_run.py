"""`python -m rhapsody_parsl.runtimes.mpi.launch.flux_run FLUX PLACES ARGV...`: `flux run` on leased hosts.

`PLACES` says how many ranks each host gets: `n1:2,n2:1`. Two things of Flux's stand in the way:

- It leases cores once more, and would wait for those that other launches, or idle standing worlds of ours, hold. So the
  job brings the list of its resources along, which Flux takes from an instance's owner (its plugin `alloc-bypass`).
- A job outlives a `flux run` that is killed, and guards kill. So the job is held below Flux's broker, by a process that
  ends with our connection to it, and a process beside that one cancels what it leaves.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from rhapsody_parsl.cluster.batch import flux_hosts
from rhapsody_parsl.cluster.names import is_host
from rhapsody_parsl.cluster.node_launcher import detect

__all__ = ("main", "resources")

_PLUGIN = "alloc-bypass.so"
_HOLD = "--hold"
_OVER = b"\n"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def resources(places: str, brokers: Sequence[str]) -> str:
    """Return Flux's R for a job of places; its tasks are distributed as the cores that this names.

    Args:
        places: See above.
        brokers: The host of each rank of the instance.

    Raises:
        StopIteration: A host has no broker.
    """
    counts: dict[int, int] = {}
    for place in places.split(","):
        host, _, count = place.rpartition(":")
        counts[next(rank for rank, name in enumerate(brokers) if is_host(name, host))] = int(count)
    ranks = sorted(counts)
    cores = [{"rank": str(rank), "children": {"core": ",".join(map(str, range(counts[rank])))}} for rank in ranks]
    hosts = [",".join(brokers[rank] for rank in ranks)]
    execution = {"R_lite": cores, "nodelist": hosts, "starttime": 0, "expiration": 0}
    return json.dumps({"version": 1, "execution": execution}, separators=(",", ":"))


def hold(flux: str, places: str, argv: Sequence[str]) -> int:
    """Run the job for as long as this process lives; return its exit code."""
    _load_plugin(flux)
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(write)
        _cancel_what_is_left(flux, read)
        os._exit(0)
    os.close(read)
    attribute = f"--setattr=system.alloc-bypass.R={resources(places, flux_hosts('instance'))}"
    submitted = subprocess.run([flux, "submit", attribute, *argv], stdout=subprocess.PIPE, check=False)
    if submitted.returncode:
        return submitted.returncode
    job = submitted.stdout.strip()
    os.write(write, job)
    code = subprocess.run([flux, "job", "attach", job], check=False).returncode
    if code < 0:  # it was killed, and not the job
        return 128 - code
    os.write(write, _OVER)
    return code


def _load_plugin(flux: str) -> None:
    loaded = subprocess.run([flux, "jobtap", "load", _PLUGIN], capture_output=True, text=True, check=False)
    if loaded.returncode and "already loaded" not in loaded.stderr:
        sys.exit(
            f"{loaded.stderr.strip()}\nRanks are started by `flux run` in a Flux instance of one's own: within flux "
            "alloc, flux batch or flux start. Elsewhere take another launcher: MPIRuntime(launcher=...)."
        )


def _cancel_what_is_left(flux: str, read: int) -> None:
    """Wait for the other end of the pipe to close; when no more than the job was named on it, end that job."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with open(read, "rb") as pipe:
        said = pipe.read()
    if said and not said.endswith(_OVER):
        subprocess.run([flux, "job", "raise", "--severity=0", "--type=cancel", said], check=False)
        subprocess.run([flux, "job", "kill", "--signal=SIGKILL", said], check=False)


def main(arguments: list[str]) -> None:
    """Go below the broker, and hold the job there."""
    if arguments[0] == _HOLD:
        carrier = os.getppid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        flux, places, *argv = arguments[1:]
        sys.exit(hold(flux, places, argv) if os.getppid() == carrier else 1)
    below = [sys.executable, "-m", "rhapsody_parsl.runtimes.mpi.launch.flux_run", _HOLD, *arguments]
    argv = detect("flux", os.environ).argv(socket.gethostname(), below)
    os.execvp(argv[0], argv)  # noqa: S606 - the arguments are ours


if __name__ == "__main__":
    main(sys.argv[1:])
