"""What the pilot tells the door's process, in a private file: it holds the key."""

from rhapsody_parsl.services.settings import Settings

__all__ = ("PULSE", "DoorSettings")

PULSE = 1.0
"""Seconds between two signs of life of the door's process."""


class DoorSettings(Settings, frozen=True, kw_only=True):
    """One start of the door; its secret is the key that every request shows.

    Attributes:
        wait: Seconds that a request waits while no replica of its model is there.
        record: Whether it tells of each request, for the record of the run.
    """

    wait: float
    record: bool = True
