"""What the executor needs of its host before it opens anything, and the sentences for what is missing."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.errors import TooFewOpenFiles, TooFewThreads, Unwritable
from rhapsody_parsl.hosts import descriptors, limits
from rhapsody_parsl.wire.tcp import MOST_SILENT

__all__ = ("prepare", "written")

log = logging.getLogger(__name__)

_MOST_BLOCKS = 10_000
_THREADS = 4
"""Two of ZeroMQ's, which aborts the process without them, the link's, and the poller's."""


def prepare(provider: ExecutionProvider | None) -> None:
    """Raise the soft limit of open files to what a link to all blocks needs and strangers may take; look for threads.

    `max_blocks` is a bound that people set high; the blocks that start with the executor must fit, later ones may not.

    Raises:
        TooFewOpenFiles: The hard limit is too low for the first blocks.
        TooFewThreads: The threads of the executor cannot be started.
    """
    first = max(1, getattr(provider, "init_blocks", 1), getattr(provider, "min_blocks", 0))
    most = int(max(first, min(getattr(provider, "max_blocks", 1) or 1, _MOST_BLOCKS)))
    missing = limits.allow(descriptors.of_driver(most) + MOST_SILENT) - MOST_SILENT
    short = missing - descriptors.of_driver(most) + descriptors.of_driver(first)
    if short > 0:
        raise TooFewOpenFiles(f"An executor of {first} blocks", short, limits.hard())
    if missing > 0:
        fitting = descriptors.blocks_within(descriptors.of_driver(most) - missing)
        log.warning("the hard limit of open files (ulimit -Hn) is %d: enough for %d blocks", limits.hard(), fitting)
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
