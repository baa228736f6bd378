"""What is raised about frames that are none of ours; a module of its own, for a relay reads no messages."""

from rhapsody_parsl.errors import RhapsodyError

__all__ = ("MalformedFrame",)


class MalformedFrame(RhapsodyError):  # noqa: N818 - named for what arrived
    """What arrived is no message of ours: a stranger sent it, or another version, or it was damaged."""
