"""How a replica's process leaves: with the pilot, or when it is asked to, and with everything below it."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from rhapsody_parsl.hosts.descendants import end_descendants
from rhapsody_parsl.wire.channel import Spoke

__all__ = ("leave", "leave_with")


def leave(code: int = 0) -> NoReturn:
    """End everything below us, and this process, at once; multiprocessing's own tracker removes shared memory."""
    end_descendants()
    os._exit(code)


def leave_with(spoke: Spoke, how: Callable[[], object] = leave) -> None:
    """Leave when the pilot is gone, or asks us to by a signal.

    Args:
        spoke: Our connection to the pilot; a thread watches it, for the loop may be busy loading a model.
        how: Leaves.
    """

    def watch() -> None:
        spoke.wait_gone()
        how()

    def on_signal(number: int, frame: FrameType | None) -> None:
        how()

    signal.signal(signal.SIGTERM, on_signal)
    threading.Thread(target=watch, name="pilot watch", daemon=True).start()
