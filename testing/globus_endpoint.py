"""A real endpoint of Globus Compute under the stand-in service: its core process, started and ended by pid."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from testing.globus_service import environment
from testing.waiting import until, until_gone

START_WITHIN = 60.0
END_WITHIN = 40.0
_REST = 0.5
"""Seconds for its threads to come to rest: it forks user endpoints, and one that was forked 8 ms after a thread's first
words was seen to hang before its own first."""

Wrap = Callable[[list[str]], list[str]]
"""Makes a command line of another, for a command that someone else runs."""


@dataclass(frozen=True)
class CoreEndpoint:
    """A core endpoint that runs.

    Attributes:
        id: By which clients know it.
        pid: Its process.
        folder: Of its files.
    """

    id: str
    pid: int
    folder: Path

    def user_endpoints(self) -> list[psutil.Process]:
        """List the user endpoints' processes."""
        return [each for each in psutil.Process(self.pid).children() if each.status() != psutil.STATUS_ZOMBIE]


def init(user_dir: Path, name: str, template: str, wrap: Wrap = list) -> Path:
    """Write an endpoint with `rhapsody-parsl globus init`, for the stand-in service, and return its folder."""
    file = user_dir / f"{name}.yaml.j2"
    file.write_text(f"local_compute_services: true\nheartbeat_period: 5\n{template}")
    file.chmod(0o644)
    command = [sys.executable, "-m", "rhapsody_parsl.cli.main", "globus", "init", name]
    words = ["--template", str(file), "--contact-email", "lab@localhost"]
    subprocess.run(wrap([*command, *words]), env=_environment(user_dir), check=True, timeout=60)
    folder = user_dir / name
    with (folder / "config.yaml").open("a") as config:
        config.write("local_compute_services: true\nheartbeat_period: 5\nmu_child_ep_grace_period_s: 1\n")
    with (folder / "user_environment.yaml").open("a") as variables:  # for what is not installed, and who we are
        for key, value in {**environment(str(user_dir)), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}.items():
            variables.write(f"{key}: {json.dumps(value)}\n")
    return folder


@contextmanager
def core_endpoint(folder: Path, wrap: Wrap = list) -> Iterator[CoreEndpoint]:
    """Run `globus-compute-endpoint start` on a folder; the endpoint is gone afterwards, with all below it."""
    command = [sys.executable, "-m", "rhapsody_parsl.globus_compute", "start", folder.name]
    with (folder.parent / f"{folder.name}.out").open("ab") as out:
        process = subprocess.Popen(  # in a session of its own: at its end it kills its process group
            wrap(command), env=_environment(folder.parent), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        known = folder / "endpoint.json"
        running = folder / "daemon.pid"
        until(lambda: (known.exists() and running.exists()) or _has_left(process, folder), START_WITHIN)
        until(lambda: _listens(folder) or _has_left(process, folder), START_WITHIN)
        time.sleep(_REST)
        yield CoreEndpoint(json.loads(known.read_text())["endpoint_id"], process.pid, folder)
    finally:
        _end(process, folder)
        (folder / "endpoint.json").unlink(missing_ok=True)


def _end(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """End an endpoint as its owner would, and wait until it and all below it are gone."""
    if process.poll() is not None:
        return
    family = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
    process.terminate()
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        if "Signaling shutdown" in _said(folder):  # then it waits for a user endpoint, and that is ours
            raise
        # it was seen to hang before that, once in some forty ends: its owner would kill it
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    until_gone(family, END_WITHIN)


def _said(folder: Path) -> str:
    """Return what the core has logged since its latest start."""
    log = folder / "endpoint.log"
    return log.read_text(errors="replace").rpartition("Core Endpoint begins")[2] if log.exists() else ""


def _listens(folder: Path) -> bool:
    words = _said(folder)
    return "Awaiting messages" in words and "Ready to send results" in words


def _environment(user_dir: Path) -> dict[str, str]:
    return {**os.environ, **environment(str(user_dir)), "HOME": str(user_dir)}


def _has_left(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    if process.poll() is not None:
        words = (folder.parent / f"{folder.name}.out").read_text(errors="replace")
        raise AssertionError(f"the endpoint did not start: {words[-3000:]}")
    return False
