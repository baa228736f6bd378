"""What is said where an executor would have to run, and does not."""

from rhapsody_parsl.errors import RhapsodyError

__all__ = ("not_running",)


def not_running() -> RhapsodyError:
    """Return the error to raise."""
    return RhapsodyError("The executor is not running: start it first, or use it in a `with` block.")
