"""Losses and returns of a block's other hosts, on their way to the one who acts on them."""

from collections.abc import Callable

__all__ = ("HostChanges",)


class HostChanges:
    """Joins the hosts of a block, which tell, and their listener, who is there only when they are known.

    What is told before somebody listens is kept for the listener.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[str, str]] = []
        self._listener: Callable[[str, str], None] = lambda host, problem: self._kept.append((host, problem))

    def tell(self, host: str, problem: str) -> None:
        """Tell of a change.

        Args:
            host: The host's name.
            problem: Why it was lost; "" when it is back.
        """
        self._listener(host, problem)

    def listen(self, listener: Callable[[str, str], None]) -> None:
        """Have a listener told all changes, those that were kept at once."""
        self._listener = listener
        kept, self._kept = self._kept, []
        for host, problem in kept:
            listener(host, problem)
