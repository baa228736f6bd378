"""One backend process as the pilot sees it: start it under guard, learn of its end, end it, leave nothing behind."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rhapsody_parsl.runtimes import guard

__all__ = ("Backend", "last_words")


_SIGNAL = 128
"""The guard's exit code is this plus the signal's number, as a shell's is."""


class Backend:
    """A guarded process with a log file.

    Args:
        command: Program and arguments.
        log: File that takes its standard output and error, appended.
        env: Variables added to the pilot's own; a value of None removes one.
        cores: Real cores to pin it to; empty leaves the pilot's.
        grace: Seconds between SIGTERM and SIGKILL.
        sweep: Globs of files to remove once it is gone; `{pid3}` and `{uid3}` are the last three digits of the
            command's process and user id. A file that another process has mapped stays.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str | None] | None = None,
        cores: Sequence[int] = (),
        grace: float = 3.0,
        sweep: Sequence[str] = (),
    ) -> None:
        self._command, self.log, self._env, self._cores = list(command), log, dict(env or {}), cores
        self._grace, self._sweep = grace, list(sweep)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it.

        Raises:
            OSError: The guard could not be started.
        """
        options = ["--lifeline", "--grace", str(self._grace)]
        if self._cores:
            options += ["--cores", ",".join(map(str, sorted(set(self._cores))))]
        for pattern in self._sweep:
            options += ["--sweep", pattern]
        env = {**os.environ, **self._env}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", guard.__file__, *options, "--", *self._command,
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={name: value for name, value in env.items() if value is not None},
            )  # fmt: skip

    async def wait(self) -> str:
        """Wait for its end and return how it ended, for people."""
        if self._process is None:
            return "it was never started"
        code = await self._process.wait()
        return f"it was ended by signal {code - _SIGNAL}" if code > _SIGNAL else f"it left with exit code {code}"

    async def stop(self) -> None:
        """End it and everything below it; returns when all is gone. Idempotent."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), self._grace + 5)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def last_words(self, limit: int = 1500) -> str:
        """Return the end of its log."""
        return last_words(self.log, limit)


def last_words(log: Path, limit: int = 1500) -> str:
    """Return up to `limit` characters of the end of a log, whole lines; "" when there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2].strip() if size > limit else text.strip()
