"""What may be simulated: tasks that come at some time and take some time."""

from typing import Any

import msgspec

from rhapsody_parsl.checked_settings import CheckedSettings
from rhapsody_parsl.errors import InvalidTask

__all__ = ("TracedTask",)


class TracedTask(CheckedSettings, frozen=True, kw_only=True):
    """A task of a trace.

    Attributes:
        seconds: How long it runs, once it has started; where its walltime is less, it is ended then.
        submitted: When it is submitted, in seconds since the trace began.
        keys: What it asks for, as in a `parsl_resource_specification`.
        name: The app's name.
    """

    seconds: float
    submitted: float = 0.0
    keys: dict[str, Any] = msgspec.field(default_factory=dict)
    name: str = "task"

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InvalidTask: A time is less than zero, or endless.
        """
        super().__post_init__()
        for name in ("seconds", "submitted"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InvalidTask(self.key_of(name), getattr(self, name), "a time of zero or more is needed")
