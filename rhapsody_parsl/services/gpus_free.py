"""Waiting until the GPUs of an engine that has gone are free: a driver may hold their memory a moment longer."""

import asyncio
import logging
import time
from collections.abc import Sequence

from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.wire.leases import Share

__all__ = ("seen_free",)

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.25


async def seen_free(memory: GpuMemory, shares: Sequence[Share], *, what: str, within: float = 30.0) -> bool:
    """Wait until nothing is held on GPUs; return whether that was seen in time, or nobody tells.

    Args:
        memory: What the nodes tell.
        shares: Whose GPUs.
        what: Who had them, for the log.
        within: Seconds.
    """
    deadline = time.monotonic() + within
    while held := memory.held(shares):
        if time.monotonic() > deadline:
            told = ", ".join(f"{gpu} ({used:g} GB)" for gpu, used in held.items())
            log.warning("GPUs that %s had are still in use %g s later: %s", what, within, told)
            return False
        await asyncio.sleep(_LOOK_EVERY)  # a GPU tells nobody
    return True
