"""Why something did not start, for users: as an error of ours, with what is scarce on our host."""

import socket

from rhapsody_parsl.errors import BackendFailed, RhapsodyError, RuntimeUnavailable
from rhapsody_parsl.hosts import limits

__all__ = ("explained", "typed")


def typed(runtime: str, problem: Exception) -> RhapsodyError:
    """Return why a runtime did not start as an error of ours.

    Args:
        runtime: Its name.
        problem: What its start raised.
    """
    if isinstance(problem, RhapsodyError):
        return problem
    if isinstance(problem, OSError):  # no process, no memory, no file more
        return BackendFailed(f"The {runtime} runtime", str(problem))
    return RuntimeUnavailable(runtime, repr(problem))


def explained(error: RhapsodyError) -> RhapsodyError:
    """Add what is scarce on our host to an error of something that did not start."""
    if not isinstance(error, BackendFailed) or "ulimit" in error.args[1] or not (scarce := limits.shortage()):
        return error
    backend, reason, tail = error.args
    return BackendFailed(backend, f"{reason}. On {socket.gethostname()}: {scarce}", tail)
