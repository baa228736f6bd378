"""What has the block's other hosts take the environment from each other."""

import contextlib
import logging
import socket
import subprocess
import sys

from rhapsody_parsl.hosts import spreading

__all__ = ("Spread", "spread")

log = logging.getLogger(__name__)

_LEAVE_WITHIN = 2.0


class Spread:
    """A process of this host that gives a file, and knows who else does (see `spreading`).

    Args:
        path: The file.
        address: What other hosts call this one.
        word: What they know, and strangers do not.

    Attributes:
        source: Where it is asked.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, path: str, address: str, word: bytes) -> None:
        with socket.create_server(("", 0), backlog=1024) as listener:
            self.source = f"{address}:{listener.getsockname()[1]}"
            number = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", spreading.__file__, str(number), path, address],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[number], start_new_session=True,
            )  # fmt: skip
        if self._process.stdin:
            self._process.stdin.write(word)
            self._process.stdin.flush()

    def close(self) -> None:
        """Give nothing more; idempotent."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def spread(path: str, address: str, word: bytes) -> Spread | None:
    """Start one; None when that cannot be: then each host reads the file itself. See `Spread`."""
    try:
        return Spread(path, address, word)
    except OSError as problem:
        log.warning("each host reads %s itself, for it cannot be given from here: %s", path, problem)
        return None
