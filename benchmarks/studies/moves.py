"""How fast a value kept by reference goes from host to host, and how often a broadcast moves it.

`python -m testing.vcluster 8 python -m benchmarks moves` starts a block over Slurm on all hosts of a virtual cluster
but the head, where this runs. Then

- a value is made on one host and read on another, beside as many bytes over a plain socket between the two;
- a value is made on one host, and eight tasks per host read it, all at once. What each host receives is counted by its
  network's own counters.

All hosts share the cores of one machine, which encrypt and decrypt. So look at ratios.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from benchmarks.library import machine, sides
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor

MB = 1_000_000
READERS = 8
_HERE = str(Path(__file__).parents[2])
PATIENCE = 300
FOLDER = "/var/tmp"  # noqa: S108 - all hosts of a virtual cluster see it


def made(size: int) -> Any:
    """Make a value. It travels whole, as all apps here."""
    import numpy  # noqa: PLC0415 - an app imports where it runs

    return numpy.ones(size // 8)


def read(value: Any) -> str:
    """Look at some of a value; return where that was."""
    import os  # noqa: PLC0415 - as above

    assert value[0] == value[-1] == 1.0  # noqa: S101 - the benchmark's own check
    return os.uname().nodename


def warmed(value: Any) -> None:
    """Look at a value, and keep the worker meanwhile from further ones: each has to load NumPy once."""
    import time  # noqa: PLC0415 - as above

    assert value[0] == 1.0  # noqa: S101 - the benchmark's own check
    time.sleep(2)  # noqa: TID251 - of a task


def received() -> int:
    """Return the bytes that this host has received from others."""
    from pathlib import Path  # noqa: PLC0415 - as above

    rows = (line.split(":") for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    return sum(int(counts.split()[0]) for name, counts in rows if name.strip() != "lo")


def listens(place: str) -> float:
    """Receive over a plain socket until its end; return the seconds from the first byte on."""
    import os  # noqa: PLC0415 - as above
    import socket  # noqa: PLC0415 - as above
    import time  # noqa: PLC0415 - as above
    from pathlib import Path  # noqa: PLC0415 - as above

    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - of a virtual cluster
        Path(f"{place}.new").write_text(f"{os.uname().nodename} {server.getsockname()[1]}")
        os.rename(f"{place}.new", place)
        connection, _ = server.accept()
        began = time.perf_counter()
        while connection.recv(1 << 20):
            pass
        return time.perf_counter() - began


def sends(place: str, size: int) -> None:
    """Send so many bytes there."""
    import os  # noqa: PLC0415 - as above
    import socket  # noqa: PLC0415 - as above
    import time  # noqa: PLC0415 - as above
    from pathlib import Path  # noqa: PLC0415 - as above

    while not os.path.exists(place):
        time.sleep(0.01)  # noqa: TID251 - a file of another host
    host, port = Path(place).read_text().split()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(bytes(size))


def started(folder: Path, hosts: Sequence[str]) -> RhapsodyExecutor:
    """Return an executor over those hosts."""
    provider = SlurmProvider(
        partition="main", nodes_per_block=len(hosts), walltime="00:10:00", exclusive=True, launcher=SimpleLauncher(),
        worker_init=f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={_HERE}",
    )  # fmt: skip
    return RhapsodyExecutor("x", provider=provider, runtimes=[LocalRuntime()], cores_per_node=READERS)


def on(host: str, **more: Any) -> dict[str, Any]:
    """Return the specification of a task of a host."""
    return {"labels": [host], **more}


def pair(executor: RhapsodyExecutor, folder: Path, size: int, repeat: int) -> dict[str, float]:
    """Return milliseconds to have a value on another host, and over a plain socket; medians."""
    moved, plain, here = [], [], []
    for number in range(repeat):
        ref = executor.submit(made, on("vn2", result="reference"), size).result(PATIENCE)
        began = time.perf_counter()
        executor.submit(read, on("vn3"), ref).result(PATIENCE)
        moved.append(time.perf_counter() - began)
        began = time.perf_counter()
        executor.submit(read, on("vn3"), ref).result(PATIENCE)
        here.append(time.perf_counter() - began)
        place = str(folder / f"socket-{number}")
        listening = executor.submit(listens, on("vn3"), place)
        executor.submit(sends, on("vn2"), place, size).result(PATIENCE)
        plain.append(listening.result(PATIENCE))
    found = {"moved_ms": moved, "there_ms": here, "socket_ms": plain}
    return {name: statistics.median(seconds) * 1e3 for name, seconds in found.items()}


def broadcast(executor: RhapsodyExecutor, hosts: Sequence[str], size: int) -> dict[str, Any]:
    """Have many tasks on each host read one value; return how long that took, and what each host received."""
    ref = executor.submit(made, on("vn2", result="reference"), size).result(PATIENCE)
    before = [executor.submit(received, on(host)).result(PATIENCE) for host in hosts]
    began = time.perf_counter()
    futures = [executor.submit(read, on(host), ref) for host in hosts for _ in range(READERS)]
    sides.check(sorted({future.result(PATIENCE) for future in futures}) == sorted(hosts), "a host is missing")
    seconds = time.perf_counter() - began
    after = [executor.submit(received, on(host)).result(PATIENCE) for host in hosts]
    counts = [(end - start) / size for start, end in zip(before, after, strict=True)]
    return {"seconds": seconds, "received": dict(zip(hosts, counts, strict=True)), "times": sum(counts)}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--size", type=int, default=100, help="MB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"))
    arguments = parser.parse_args()
    hosts, size = [f"vn{number}" for number in range(1, arguments.hosts + 1)], arguments.size * MB
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        executor = started(folder, hosts)
        with sides.load(executor, str(folder / "runinfo")):
            small = executor.submit(made, on("vn2", result="reference"), MB).result(PATIENCE)
            for future in [executor.submit(warmed, on(host), small) for host in hosts for _ in range(READERS)]:
                future.result(PATIENCE)
            two = pair(executor, folder, size, arguments.repeat)
            all_ = broadcast(executor, hosts, size)
    machine.show(f"{arguments.size} MB to another host: medians, ms", list(two), [[f"{ms:.0f}" for ms in two.values()]])
    rows = [[f"{all_['seconds']:.2f}", f"{all_['times']:.2f}", *(f"{each:.2f}" for each in all_["received"].values())]]
    machine.show("Broadcast: seconds, and how often each host received it", ["seconds", "in all", *hosts], rows)
    print(f"written: {machine.write(arguments.out, 'moves', {'pair': two, 'broadcast': all_})}")


if __name__ == "__main__":
    main()
