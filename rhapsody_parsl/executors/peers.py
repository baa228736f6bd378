"""Whether a block that says hello can work with this driver."""

import platform

from rhapsody_parsl.errors import IncompatiblePeer
from rhapsody_parsl.wire.messages import VERSION, Hello

__all__ = ("mismatch",)

_SAME_PYTHON = (
    "Functions and values travel as byte code and pickles of one minor version of Python: use the same one on both "
    "sides. The block's is the `python3` that the provider's worker_init finds, or else the driver's own."
)


def mismatch(hello: Hello) -> IncompatiblePeer | None:
    """Return why a block cannot work with us, or None.

    The packages must speak one protocol, and the Pythons may differ in the patch only.

    Args:
        hello: The block's.
    """
    if hello.version != VERSION:
        return IncompatiblePeer(f"protocol {VERSION}", f"protocol {hello.version} (rhapsody-parsl {hello.package})")
    ours, theirs = platform.python_version(), hello.inventory.python
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        return IncompatiblePeer(f"Python {ours}", f"Python {theirs}", _SAME_PYTHON)
    return None
