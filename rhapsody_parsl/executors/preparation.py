"""What the executor needs of its host before it opens anything, and the sentences for what is missing."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.cluster import limits
from rhapsody_parsl.errors import TooFewOpenFiles, TooFewThreads, Unwritable
from rhapsody_parsl.wire.tcp import MOST_SILENT

__all__ = ("prepare", "written")

_OWN_FILES, _FILES_PER_BLOCK = 48, 2
_MOST_BLOCKS = 10_000
_THREADS = 4
"""Two of ZeroMQ's, which aborts the process without them, the link's, and the poller's."""


def prepare(provider: ExecutionProvider | None) -> None:
    """Raise the soft limit of open files to what a link to all blocks needs and strangers may take; look for threads.

    Raises:
        TooFewOpenFiles: The hard limit is too low.
        TooFewThreads: The threads of the executor cannot be started.
    """
    blocks = min(getattr(provider, "max_blocks", 1) or 1, _MOST_BLOCKS)
    missing = limits.allow(_OWN_FILES + int(_FILES_PER_BLOCK * blocks) + MOST_SILENT) - MOST_SILENT
    if missing > 0:
        raise TooFewOpenFiles(f"An executor of {blocks} blocks", missing, limits.hard())
    if not limits.can_start(_THREADS):
        raise TooFewThreads("An executor", _THREADS)


@contextlib.contextmanager
def written(folder: Path) -> Iterator[None]:
    """Tell a failure to write in the executor's folder as what it is.

    Raises:
        Unwritable: It cannot be written.
    """
    try:
        yield
    except OSError as problem:
        purpose, setting = "the executor's keys, its configuration and the blocks' logs", "parsl.Config(run_dir=...)"
        raise Unwritable(str(folder), purpose, str(problem), setting) from problem
