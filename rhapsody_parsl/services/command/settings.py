"""What the process beside a command is told."""

from rhapsody_parsl.services.blanks import fill
from rhapsody_parsl.services.settings import Settings

__all__ = ("CommandSettings",)


class CommandSettings(Settings, frozen=True, kw_only=True):
    """One start of one command.

    Attributes:
        argv: Program and arguments, with their blanks.
        fixed_port: Whether the port is the user's.
        ready: When it is ready, as `ready_word` has it.
        health: Seconds between two looks whether it still is; 0 is never.
        health_failures: How many of them in a row find it unwell until it counts as failed.
        secret_file: Holds the secret.
        stop_signal: What asks it to leave, by name.
        stop_timeout: Seconds from then until it is killed.
    """

    argv: tuple[str, ...]
    fixed_port: bool
    ready: str
    health: float
    health_failures: int
    secret_file: str
    stop_signal: str
    stop_timeout: float

    def filled(self, port: int) -> list[str]:
        """Return program and arguments."""
        blanks = {"host": self.host, "port": str(port), "name": self.name, "secret_file": self.secret_file}
        return [fill(word, blanks | {"hosts": ",".join(self.hosts)}) for word in self.argv]
