"""What the scenarios send to the blocks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from rhapsody_parsl import Ref, block, service


def where() -> tuple[str, list[int]]:
    """Return host and affinity mask."""
    return os.uname().nodename, sorted(os.sched_getaffinity(0))


def filled(size: int) -> tuple[str, bytes]:
    """Return the host and so many bytes."""
    return os.uname().nodename, bytes(size)


def submit_to(hosts: list[str], size: int) -> list[tuple[str, int]]:
    """Have bytes made on each of some hosts; return where each came from, and how many."""
    with block() as here:
        specs = [{"labels": [host]} for host in hosts]
        made = [here.submit(filled, size, resource_specification=spec).result() for spec in specs]
    return [(host, len(data)) for host, data in made]


def die_at(number: int, deadly: int) -> int:
    """Kill the worker if the numbers are equal."""
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_up(seconds: float) -> None:
    """End the worker's connection to its pilot, and go on."""
    for connection in psutil.Process().net_connections("unix"):
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fd)) as end:
            end.shutdown(socket.SHUT_RDWR)
    time.sleep(seconds)


def started() -> tuple[str, float, float]:
    """Say, some time later, on which host we are, and between which moments our process was starting."""
    up = time.time()
    time.sleep(0.5)
    return os.uname().nodename, psutil.Process().create_time(), up


def where_after(seconds: float) -> str:
    """Say, some time later, on which host we are."""
    time.sleep(seconds)
    return os.uname().nodename


def meet(folder: str, count: int, seconds: float = 60) -> tuple[str, list[int]]:
    """Wait until `count` of us are there at once; say where we are."""
    place = Path(folder)
    (place / f"{os.uname().nodename}-{os.getpid()}").touch()
    deadline = time.monotonic() + seconds
    while len(list(place.iterdir())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {sorted(path.name for path in place.iterdir())} came")
        time.sleep(0.05)
    return where()


def meet_and_wait(folder: str, count: int, go: str, seconds: float = 120) -> tuple[str, list[int]]:
    """Meet, and wait for a file."""
    place = meet(folder, count)
    deadline = time.monotonic() + seconds
    while not Path(go).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody said go")
        time.sleep(0.1)
    return place


def gang_wait(folder: str, count: int, go: str, comm: Any = None) -> int:
    """The same on every rank, and inside MPI then."""
    if comm.rank:
        meet_and_wait(folder, count, go)
    else:
        meet(folder, count)
    return int(comm.allreduce(1))


def launch_wait(folder: str, count: int, go: str) -> int:
    """The same as an executable."""
    call = f"gang_wait({folder!r}, {count}, {go!r}, MPI.COMM_WORLD)"
    code = f"from mpi4py import MPI; from tests.cluster.apps import gang_wait; {call}"
    words = [*os.environ["PARSL_MPI_PREFIX"].split(), sys.executable, "-c", code]
    return subprocess.run(words, check=False).returncode


def gang(folder: str, count: int, comm: Any = None) -> list[tuple[str, list[int]]]:
    """Meet on every rank; return where all are."""
    return list(comm.allgather(meet(folder, count)))


def launch(folder: str, count: int) -> list[tuple[str, list[int]]]:
    """The same as an executable."""
    # One write a line: Hydra joins what ranks write, and `print` writes word by word where Python does not buffer.
    say = "os.write(1, ('%s;%s' % place + chr(10)).encode())"
    code = f"import os; from tests.cluster.apps import meet; place = meet({folder!r}, {count}); {say}"
    words = [*os.environ["PARSL_MPI_PREFIX"].split(), sys.executable, "-c", code]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    out = done.stdout
    return [(host, json.loads(mask)) for host, mask in (line.split(";") for line in out.splitlines() if line)]


def launch_failing(rank: int) -> tuple[int, str]:
    """Launch ranks of which one leaves; return the launch's exit code, and its standard error."""
    program = f"[ $RANK = {rank} ] && exit 5; exec sleep 1000"
    words = [*os.environ["PARSL_MPI_PREFIX"].split(), "sh", "-c", program]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


def launch_lines(*programs: str) -> list[list[str]]:
    """Start a program of the shell's on all ranks, or one per group; return the words of each line that they say.

    They take half a second: MPICH's launcher may die of one that exits at once.
    """
    parts = [word for program in programs for word in (":", "/bin/sh", "-c", program)]
    words = [*os.environ["PARSL_MPI_PREFIX"].split(), *parts[1:]]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [line.split() for line in said.splitlines()]


def grow_on_last(gigabytes: float, comm: Any = None) -> int:
    """Hold so much on the last rank, little on the others, for a while."""
    held = bytearray(int(gigabytes * 1e9) if comm.rank == comm.size - 1 else 1000)
    time.sleep(2 if gigabytes < 0.1 else 60)
    return int(comm.allreduce(len(held)))


def launch_grow(gigabytes: float) -> int:
    """The same as an executable."""
    call = f"grow_on_last({gigabytes}, MPI.COMM_WORLD)"
    code = f"from mpi4py import MPI; from tests.cluster.apps import grow_on_last; {call}"
    return subprocess.run([*os.environ["PARSL_MPI_PREFIX"].split(), sys.executable, "-c", code], check=False).returncode


def ask(name: str, prompt: str) -> tuple[str, str, str]:
    """Call a service of the block over HTTP; return our host, its address and the answer."""
    found = service(name)
    request = urllib.request.Request(
        f"{found.base_url}/completions",
        json.dumps({"model": found.model, "prompt": prompt}).encode(),
        {"Authorization": f"Bearer {found.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return os.uname().nodename, found.url, json.load(answer)["choices"][0]["text"]


def fetch(name: str) -> tuple[str, str, bool]:
    """Call a command of the block over HTTP; return our host, its address and whether it has our secret."""
    found = service(name)
    with urllib.request.urlopen(found.url, timeout=20) as answer:
        return os.uname().nodename, found.url, json.load(answer)["password"] == found.secret != ""


def ask_without_key(name: str) -> int:
    """Call the same without its key; return the HTTP status."""
    try:
        urllib.request.urlopen(f"{service(name).base_url}/models", timeout=20).close()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return 200


def gpus(folder: str, count: int) -> tuple[str, str]:
    """Meet; return our host and the GPUs we are shown."""
    return meet(folder, count)[0], os.environ["CUDA_VISIBLE_DEVICES"]


def prompt(text: str) -> str:
    return text


def kept(size: int) -> bytes:
    """Return what is to stay where it is made."""
    return bytes(size)


def one_more(data: bytes) -> bytes:
    return data + b"1"


def where_with(data: bytes) -> str:
    return os.uname().nodename


def taken(data: bytes, meeting: str, count: int) -> tuple[str, int, list[int]]:
    """Wait for as many tasks; return the host, how much each got, and the files in which its host keeps values."""
    Path(meeting, f"{os.uname().nodename}.{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(os.listdir(meeting)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.uname().nodename, len(data), [path.stat().st_ino for path in values_here()]


def values_here() -> list[Path]:
    """Return the files of values on this host."""
    from rhapsody_parsl.worker.references import _Host, files_here

    files_here()
    place = _Host.place
    roots = [Path(root, "data") for root in (place.memory, place.disk) if root] if place else []
    return sorted(path for root in roots for path in root.iterdir() if not path.name.startswith("."))


def steers(size: int) -> tuple[list[Any], Ref]:
    """Have tasks make and take values by reference; return where one was taken, its size, and one of the last host."""
    here = block()
    made = here.submit(kept, size, resource_specification={"labels": ["vn2"], "result": "reference"}).result()
    where_taken = here.submit(where_with, made).result()
    last = {"labels": ["vn3"], "result": "reference"}
    return [where_taken, len(made.result())], here.submit(one_more, made, resource_specification=last).result()


def outlives(size: int, folder: str) -> str:
    """Have a value made on a host, and have it taken once that is lost; return what is said then."""
    here, gone = block(), Path(folder, "host gone")
    made = here.submit(kept, size, resource_specification={"labels": ["vn2"], "result": "reference"}).result()
    Path(folder, "made").touch()
    while not gone.exists():
        time.sleep(0.05)
    return str(here.submit(len, made, resource_specification={"labels": ["vn3"]}).exception())


def names_here() -> list[str]:
    """Return their names."""
    return [path.name for path in values_here()]


def bytes_received() -> int:
    """Return how many bytes have come to this host."""
    return int(Path("/sys/class/net/eth0/statistics/rx_bytes").read_text())


def rest_of(data: bytes, number: int) -> bytes:
    """Return all but so many bytes."""
    return data[number:]


def large_payloads_here() -> list[str]:
    """Return the files of large payloads on this host."""
    return [str(path) for path in Path("/dev/shm").glob("rhapsody-*/payloads/*/*")]  # noqa: S108 - looked at


def die_over(_data: bytes, note: str) -> None:
    """Note how many payloads lie here, and be killed."""
    Path(note).write_text(str(len(large_payloads_here())))
    os.kill(os.getpid(), signal.SIGKILL)
