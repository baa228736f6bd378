"""A shell script under guard on one host of the allocation, for owners that have no event loop."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rhapsody_parsl.cluster.node_launcher import NodeLauncher, environment
from rhapsody_parsl.hosts import guard

__all__ = ("GuardedScript",)

_STAY_PARENT = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
"""A guard leaves with the thread that started it, and a provider's caller may be any thread; a shell has but one."""


class GuardedScript:
    """A running script; it ends, with all below it, when its owner's process does.

    Its output and errors go to files named like it, with `.out` and `.err` added.

    Args:
        script: For bash.
        host: Where to run it.
        node_launcher: The way there; None is this host.
        cores: Real cores to pin it to; empty leaves the owner's.

    Raises:
        OSError: It could not be started.
    """

    def __init__(
        self, script: Path, host: str = "", node_launcher: NodeLauncher | None = None, cores: Sequence[int] = ()
    ) -> None:
        pinned = ["--cores", ",".join(map(str, cores))] if cores else []
        argv = [sys.executable, "-I", "-S", guard.__file__, "--lifeline", *pinned, "--", "bash", str(script)]
        with open(f"{script}.out", "ab") as out, open(f"{script}.err", "ab") as err:
            self._process = subprocess.Popen(
                [*_STAY_PARENT, *(node_launcher.argv(host, argv) if node_launcher else argv)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=environment(os.environ) if node_launcher else None,
            )

    @property
    def pid(self) -> int:
        """Id of the process here that stands for it."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit code (128 + signal when a signal ended it), None while anything of it lives."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def end(self) -> None:
        """Tell its guard to end it; returns at once. Idempotent."""
        if self._process.stdin:
            self._process.stdin.close()

    def wait(self, seconds: float) -> bool:
        """Wait for its end and return whether it came."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill what stands for it here; what its guard may still stand over follows."""
        self._process.kill()
        self._process.wait()
