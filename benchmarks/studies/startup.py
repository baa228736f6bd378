"""What the start of each process costs: files opened and looked for, CPU and time, until the first task.

`python -m benchmarks startup` starts two blocks, each once plainly for the times and once under `strace` for the files:

- one of two hosts with plain workers, a core each. The second host is this one, too, with another folder for private
  files, and has a node agent;
- one of this host with a Dragon runtime of one worker.

Counted is what lies outside of node-local disk (`/dev`, `/proc`, `/sys`, `/tmp`, `/run`), as the environment on a
shared file system does: files opened and programs started, files looked at and found, and files looked for in vain.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.library import machine, opened, sides
from rhapsody_parsl import AllocationProvider, DragonRuntime, LocalRuntime, RhapsodyExecutor
from testing.processes import command_of
from testing.waiting import until

Said = dict[str, Any]
OTHER = "other"
_WAY = 'mount -t tmpfs none "$TMPDIR" && exec "$@"'
"""How the second host comes to a private folder of its own."""
_STAGE = "STARTUP_STAGED"
"""Set in the processes that run a block, when it is to stage the environment."""
_PACKAGE = str(Path(__file__).parents[2])
_COLUMNS = ("", "opened", "in the environment", "looked at", "not found", "CPU, s", "until the task, s")


def first_task(seen: str) -> Said:
    """Say that the task has begun, and wait until somebody has looked. It travels whole."""
    import os  # noqa: PLC0415 - as above
    import time  # noqa: PLC0415 - as above
    from pathlib import Path  # noqa: PLC0415 - as above

    began = time.time()
    Path(f"{seen}.{os.getpid()}").touch()
    while not Path(seen).exists():
        time.sleep(0.02)  # noqa: TID251 - a file of another process
    return {"pid": os.getpid(), "began": began, "host": os.environ.get("HOSTNAME", "")}


def run_block(kind: str, folder: Path) -> Said:
    """Run a block until its first tasks have begun; return what they say, and what is there of processes then."""
    hosts, seen = folder / "hosts", folder / "seen"
    names = [socket.gethostname(), OTHER] if kind == "local" else [socket.gethostname()]
    hosts.write_text("".join(f"{name} slots=1\n" for name in names))
    os.environ |= {"RHAPSODY_HOSTFILE": str(hosts), "HOSTNAME": names[0]}
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    way = f"env HOSTNAME={{host}} {' '.join(unshare)} sh -c '{_WAY}' sh"
    runtime = LocalRuntime() if kind == "local" else DragonRuntime(startup_timeout=200)
    executor = RhapsodyExecutor(
        "x", provider=AllocationProvider(), runtimes=[runtime], address="127.0.0.1", node_launcher=way,
        stage_environment=bool(os.environ.get(_STAGE)),
    )  # fmt: skip
    with sides.load(executor, str(folder / "runinfo")):
        futures = [executor.submit(first_task, {}, str(seen)) for _ in names]
        until(lambda: len(list(folder.glob("seen.*"))) == len(names) or any(each.done() for each in futures), 300)
        found = [_facts(process) for process in psutil.Process().children(recursive=True)]
        seen.touch()
        return {"tasks": [future.result() for future in futures], "processes": [each for each in found if each]}


def _facts(process: psutil.Process) -> Said:
    words = command_of(process)
    try:
        with process.oneshot():
            times, began, parent = process.cpu_times(), process.create_time(), process.ppid()
            cpu = times.user + times.system + times.children_user + times.children_system
            return {"pid": process.pid, "parent": parent, "words": words, "cpu": cpu, "began": began}
    except psutil.NoSuchProcess:
        return {}


def measure(kind: str, traced: bool) -> tuple[Said, dict[int, opened.Traced]]:
    """Run a block in a process of its own; return what it says, and its calls if it is to be traced."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/var/tmp") as place:
        folder, private = Path(place), Path(tempfile.mkdtemp(prefix="s-", dir="/tmp"))
        (folder / "trace").mkdir()
        command = [sys.executable, "-m", "benchmarks.studies.startup", "--one", kind, str(folder)]
        command = opened.strace(folder / "trace", command) if traced else command
        try:
            done = subprocess.run(
                command, env={**os.environ, "TMPDIR": str(private)}, capture_output=True, text=True, check=False
            )
        finally:
            shutil.rmtree(private, ignore_errors=True)
        if done.returncode:
            raise SystemExit(f"the block {kind} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1]), opened.read(folder / "trace") if traced else {}


def told(kind: str, said: Said) -> dict[str, Said]:
    """Return the processes that a block's rows are about, by the rows' names."""
    if kind == "dragon":
        return {"Dragon runtime and a worker": _first(said, "/dragon ")}
    by_pid = {process["pid"]: process for process in said["processes"]}
    workers = {
        f"worker on {'another' if task['host'] == OTHER else 'the first'} host": by_pid[task["pid"]]
        for task in said["tasks"]
    }
    guards = {"a worker's guard": _first(said, "/guard.py", "-m rhapsody_parsl.worker")}
    words = {"pilot": "-m rhapsody_parsl.pilot", "node agent": "/agent.py", "its keeper": "/node_agent.py"}
    found = {name: _first(said, word) for name, word in words.items()} | guards | workers
    return {name: process for name, process in found.items() if process}


def _first(said: Said, *words: str) -> Said:
    """Return the first process whose command has some words; a guard, only if it is asked for."""
    found = [
        each
        for each in said["processes"]
        if all(word in each["words"] for word in words) and ("/guard.py" in words or "/guard.py" not in each["words"])
    ]
    return min(found, key=lambda each: float(each["began"]), default={})


def row(kind: str, name: str, *, plain: Said, said: Said, calls: Mapping[int, opened.Traced]) -> list[str]:
    """Return the numbers of a row: files from the run that was traced, times from the one that was not."""
    whole = kind == "dragon"
    root, costly = told(kind, said)[name]["pid"], told(kind, plain)[name]
    family = opened.below(calls, root, programs=whole)
    environment = {_PACKAGE, sys.prefix, sys.base_prefix}
    files = sum((calls[pid].counts(_begun(said, root), environment) for pid in family), opened.Counts())
    cpu = sum(each["cpu"] for each in _family(plain, costly, whole))
    numbers = [files.opened, files.of_environment, files.looked_at, files.missing]
    waited = _begun(plain, costly["pid"]) - costly["began"]
    return [name, *(f"{number:,}" for number in numbers), f"{cpu:.2f}", f"{waited:.2f}"]


def _begun(said: Said, pid: int) -> float:
    """Return when a worker's task began, or for another process when both had."""
    times: dict[int, float] = {task["pid"]: task["began"] for task in said["tasks"]}
    return times.get(pid, max(times.values()))


def _family(said: Said, root: Said, whole: bool) -> list[Said]:
    """Return a process, and those below it that have its command; all below it if they belong to it."""
    family = [root]
    for one in family:
        children = (each for each in said["processes"] if each["parent"] == one["pid"])
        family += [child for child in children if whole or child["words"] == root["words"]]
    return family


def main() -> None:
    """Run the blocks, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="the first block only")
    parser.add_argument("--staged", action="store_true", help="with `stage_environment`, which makes it node-local")
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"))
    arguments = parser.parse_args()
    if arguments.one:
        kind, folder = arguments.one
        print(json.dumps(run_block(kind, Path(folder))))
        return
    if arguments.staged:
        os.environ[_STAGE] = "yes"
    if not shutil.which("strace"):
        raise SystemExit("strace is not on the PATH, and counts the files: install it (apt-get install strace)")
    table = []
    for kind in ("local",) if arguments.quick else ("local", "dragon"):
        plain, _ = measure(kind, traced=False)
        said, calls = measure(kind, traced=True)
        table += [row(kind, name, plain=plain, said=said, calls=calls) for name in told(kind, said)]
    machine.show("Until the first task", _COLUMNS, table)
    print(f"written: {machine.write(arguments.out, 'startup', {'columns': _COLUMNS, 'rows': table})}")


if __name__ == "__main__":
    main()
