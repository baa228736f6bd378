"""A service, or one request to it, failed."""

from typing import Any

from rhapsody_parsl.errors.base import InvalidTask, RhapsodyError, rebuilt

__all__ = (
    "PromptsFailed",
    "RequestKilledEngine",
    "ServiceFailed",
    "ServiceNotFound",
    "ServiceNotReady",
    "ServiceRequestFailed",
)


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


class PromptsFailed(ServiceRequestFailed):
    """Some prompts of a list failed, and others were answered.

    Args:
        service: Who was asked.
        results: The answers, in the list's order; None for a prompt that failed.
        problems: Of each that failed: its place in the list, counted from 0, and the error's class name and facts.
    """

    def __init__(self, service: str, results: list[Any], problems: list[Any]) -> None:
        RhapsodyError.__init__(self, service, results, problems)

    @property
    def results(self) -> list[Any]:
        """Return the answers, in the list's order; None for a prompt that failed."""
        answers: list[Any] = self.args[1]
        return answers

    @property
    def errors(self) -> dict[int, RhapsodyError]:
        """Return what happened to those that failed, by their place in the list."""
        return {index: rebuilt(name, facts) for index, name, facts in self.args[2]}

    def sentence(self) -> str:
        """Say which service, how many prompts of how many, what happened to the first, and where the answers are."""
        service, results, problems = self.args
        index, name, facts = problems[0]
        return (
            f"Service '{service}' did not answer {len(problems)} of {len(results)} prompts of a list. "
            f"Prompt {index}: {rebuilt(name, facts)} The other answers are in this error's 'results', and what "
            "happened to each of those that failed is in its 'errors'."
        )
