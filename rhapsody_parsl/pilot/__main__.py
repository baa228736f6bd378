"""`python -m rhapsody_parsl.pilot CONFIG BLOCK`: a block's pilot, under a guard of its own."""

import argparse
import asyncio
import contextlib
import faulthandler
import glob
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rhapsody_parsl.config import read_config
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts import data_place, folder, freed_memory, guard, leftovers, limits, staging

_FOLDER = "RHAPSODY_PILOT_FOLDER"
"""Set once the guard stands: the private folder that it removes, whatever ends the pilot."""
_SECOND = "RHAPSODY_PILOT_SECOND"
"""The process that removes it if the guard is killed before the pilot can do so."""


def main() -> None:
    """Start the pilot; the first process becomes its guard, so that nothing outlives the block."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="written by the executor")
    parser.add_argument("block", help="the block's number")
    arguments = parser.parse_args()
    private = os.environ.pop(_FOLDER, "")
    if not private:
        _become_guard(arguments.config)
    try:
        _serve(arguments.config, arguments.block, private)
    finally:
        leftovers.remove_folder(private)  # the guard holds it, and does that, unless it was killed


def _serve(config: Path, block: str, private: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the block was told to end before it had begun"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # the guard blocked it until somebody takes it
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(os.environ.pop(_SECOND)), signal.SIGKILL)  # whatever kills the guard now, we remove the folder
    faulthandler.enable()
    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())  # later ones do so; others take a thread for each child
    try:
        asyncio.run(_run(config, block, Path(private)))
    except RhapsodyError as problem:  # the driver shows our standard error to its user
        logging.getLogger(__name__).exception("the block cannot be used")
        sys.exit(f"{type(problem).__name__}: {problem}")


def _become_guard(config: Path) -> None:
    os.environ[_SECOND] = str(_second_sweeper())
    os.environ[_FOLDER] = private = folder.make_for_sockets()
    data_place.sweep(private)
    told = json.loads(config.read_bytes())  # without the import of any runtime
    command = [_python(told, private), "-m", "rhapsody_parsl.pilot", *sys.argv[1:]]
    held = folder.hold(private)
    os.set_inheritable(held, True)  # across the exec; the guard takes it from there
    options = ["--grace", "20", "--held", str(held), "--sweep", glob.escape(private)]
    options += ["--sweep", glob.escape(data_place.memory_of(private))]
    for drivers in filter(None, (told["shared_folder"], told["values"][1])):
        options += ["--sweep", glob.escape(drivers)]  # does nothing while the driver lives, who holds it
    argv = [sys.executable, "-I", "-S", guard.__file__, *options, "--", *command]
    os.execv(sys.executable, argv)  # noqa: S606 - arguments of our own, no shell


def _second_sweeper() -> int:
    """Start who does at our end what the next block on this host would do; return its process id."""
    ours = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    second = os.fork()
    if second:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return second
    try:
        guard.leave_with_parent()
        while os.getppid() == ours:
            signal.sigtimedwait([signal.SIGTERM], 5)
        for place in folder.places():
            data_place.sweep(os.path.join(place, "none"))
    finally:
        os._exit(0)


def _python(told: dict[str, Any], private: str) -> str:
    """Return the Python of the block: that which we run, or what is staged of it on this host's disk."""
    if not told["stage_environment"]:
        return sys.executable
    archive = os.path.join(told["logs"], "environment.tar")
    try:
        staging.pack(archive)
        return staging.enter(archive, staging.unpack(archive, private), os.environ)
    except OSError as problem:
        leftovers.remove_folder(private)
        sys.exit(
            f"The environment {sys.prefix} could not be staged: {problem}. RhapsodyExecutor(stage_environment=True) "
            f"needs room for it in the run directory, and in TMPDIR of each host ({os.path.dirname(private)}), where "
            "programs can be run."
        )


async def _run(path: Path, block: str, private: Path) -> None:
    from rhapsody_parsl.cluster.job_end import job_end  # noqa: PLC0415 - the guard needs none of it
    from rhapsody_parsl.cluster.node_launcher import environment  # noqa: PLC0415 - as above
    from rhapsody_parsl.hosts.changes import HostChanges  # noqa: PLC0415 - as above
    from rhapsody_parsl.hosts.environment import put  # noqa: PLC0415 - as above
    from rhapsody_parsl.pilot.discovery import discover  # noqa: PLC0415 - as above
    from rhapsody_parsl.pilot.gc_tuning import tune  # noqa: PLC0415 - as above
    from rhapsody_parsl.pilot.logs import logs_of  # noqa: PLC0415 - as above
    from rhapsody_parsl.pilot.loop import Pilot  # noqa: PLC0415 - as above

    config = read_config(path)
    limits.inherit(*config.open_files)
    freed_memory.keep()
    _log_to(Path(config.logs) / f"block-{block}.log")
    if config.working_dir:
        Path(config.working_dir).mkdir(parents=True, exist_ok=True)
        os.chdir(config.working_dir)
    job = dict(os.environ)
    for name in job.keys() - environment(job).keys():
        del os.environ[name]  # for us and all that we start: no step is composed with it
    put(str(private), os.environ)
    ends_at = job_end(job, time.time(), config.walltime)
    changes = HostChanges()
    nodes, hosts = await discover(config, private, logs_of(config, block), changes=changes, environment=job)
    pilot = Pilot(config, block, private, nodes=nodes, hosts=hosts, changes=changes, ends_at=ends_at)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, pilot.leave, f"the block was told to end ({signal.Signals(number).name})")
    tune()
    await pilot.run()


def _log_to(path: Path) -> None:
    """Have records in a file, or on standard error where there is no room; one that fails is no event."""
    logging.raiseExceptions = False
    handler: logging.Handler
    try:
        handler = logging.FileHandler(path)
    except OSError:
        handler = logging.StreamHandler()
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(handlers=[handler], level=logging.INFO, format=line)


if __name__ == "__main__":
    main()
