"""A service, or one request to it, failed."""

from rhapsody_parsl.errors.base import InvalidTask, RhapsodyError

__all__ = ("RequestKilledEngine", "ServiceFailed", "ServiceNotFound", "ServiceNotReady", "ServiceRequestFailed")


class ServiceNotFound(InvalidTask):
    """A task names a service that the executor does not have."""


class ServiceFailed(RhapsodyError):
    """A service cannot start, or died and was not started again."""

    def __init__(self, service: str, reason: str, log: str = "") -> None:
        super().__init__(service, reason, log)

    def sentence(self) -> str:
        """Say which service, why, and the end of its log."""
        service, reason, log = self.args
        text = f"Service '{service}' is not available: {reason}."
        return f"{text} The end of its log: {log}" if log else text


class ServiceNotReady(RhapsodyError):
    """A service was not ready, or had not changed as it was told, within the time that somebody waited for it."""

    def __init__(self, service: str, setting: str, seconds: float, state: str) -> None:
        super().__init__(service, setting, seconds, state)

    def sentence(self) -> str:
        """Say which service, the name of the setting, the limit, and how the service is."""
        service, setting, seconds, state = self.args
        return f"Service '{service}' was not ready within {setting}={seconds:g} s: {state}."


class ServiceRequestFailed(RhapsodyError):
    """A service answered one request with an error."""

    def __init__(self, service: str, problem: str) -> None:
        super().__init__(service, problem)

    def sentence(self) -> str:
        """Say which service and what it answered."""
        return f"Service '{self.args[0]}' refused the request: {self.args[1]}"


class RequestKilledEngine(ServiceRequestFailed):
    """Engines of a service died under one request, the last of them with nothing else in flight."""

    def __init__(self, service: str, deaths: int, reason: str, log: str = "") -> None:
        RhapsodyError.__init__(self, service, deaths, reason, log)

    def sentence(self) -> str:
        """Say which service, how many engines, how the last ended, the end of its log and what to do."""
        service, deaths, reason, log = self.args
        text = (
            f"Service '{service}' gave this request up: {deaths} engines died under it, the last ones while they held "
            f"nothing else. The last: {reason}. Other requests were asked again without it. Ask for less (a shorter "
            "prompt, fewer tokens), or find the cause in the log. Equal requests fail at once during restart_window."
        )
        return f"{text} The end of the engine's log: {log}" if log else text
