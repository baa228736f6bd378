"""One of an executor's services: how it is, and what a user does with it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from rhapsody_parsl.errors import InvalidTask, ServiceFailed
from rhapsody_parsl.service_config import ServiceConfig, VLLMService, stopped
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import SHOWN_FIRST
from rhapsody_parsl.wire.views import ServiceStatus
from rhapsody_parsl.wording import nearest

__all__ = ("Keeper", "ServiceHandle")


class Keeper(Protocol):
    """Who keeps how the services are to be, and tells the blocks."""

    def config_of(self, name: str) -> ServiceConfig:
        """Return a service as it is to be now."""

    def replicas_before(self, name: str) -> int | tuple[int, int]:
        """Return how many replicas a service had before it was stopped."""

    def order(self, name: str, replicas: int | tuple[int, int], *, drain: bool = True, renew: bool = False) -> None:
        """Have another number of replicas of a service."""

    def adapt(self, config: ServiceConfig, unload: Sequence[str]) -> None:
        """Have other adapters of a model."""

    def wait(self, name: str, timeout: float | None, condition: Callable[[], bool]) -> None:
        """Wait until something is so of a service."""

    def reports_of(self, name: str) -> dict[str, ServiceReport | None]:
        """Return what each block that takes tasks last said of a service; None while it has said nothing."""

    def logs(self, name: str, lines: int) -> dict[str, str]:
        """Return the last lines of the logs of a service's replicas, by file."""


class ServiceHandle:
    """One service of an executor, in all its blocks.

    What is changed holds for the blocks that are there and for those that come later.

    Args:
        name: The service's.
        services: All of them.
    """

    def __init__(self, name: str, services: Keeper) -> None:
        self.name, self._services = name, services

    def __repr__(self) -> str:
        return f"<service {self.name}: {self.status().state}>"

    @property
    def config(self) -> ServiceConfig:
        """The service as it is to be now."""
        return self._services.config_of(self.name)

    @property
    def url(self) -> str:
        """Where a replica answers, "" while none does; within the cluster's network, and without the password."""
        return next((report.url for report in self._reports().values() if report.url), "")

    def status(self) -> ServiceStatus:
        """Return how it is, as the blocks said last."""
        reports = self._reports()
        states = {report.state for report in reports.values()}
        return ServiceStatus(
            name=self.name,
            state=next((state for state in SHOWN_FIRST if state in states), "waiting"),
            replicas=self.config.least,
            ready=sum(report.ready for report in reports.values()),
            blocks=reports,
        )

    def logs(self, lines: int = 100) -> dict[str, str]:
        """Return the last lines of its replicas' logs, by file, as far as this host sees them.

        Args:
            lines: Of each, at most.
        """
        return self._services.logs(self.name, lines)

    # --- changed -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start as many replicas as there were before it was stopped; nothing happens when it runs.

        Raises:
            ServiceFailed: A block has no room for them.
        """
        if not self.config.most:
            self.scale(self._services.replicas_before(self.name))

    def stop(self, drain: bool = True) -> None:
        """Stop all replicas, and give what they hold to tasks. See `wait_stopped`.

        Requests that were submitted before are still answered. Later ones fail until it is started again.

        Args:
            drain: Whether they are; without it, they fail.
        """
        self._services.order(self.name, 0, drain=drain)

    def scale(self, replicas: int | tuple[int, int]) -> None:
        """Have another number of replicas in each block.

        More of them start as soon as the block has room, before the tasks that wait. Of those that leave, each finishes
        what it has begun; those with the least to do leave first.

        Args:
            replicas: How many; 0 stops it. Two numbers, at least and at most, for a model.

        Raises:
            ServiceFailed: A block can never hold as many; nothing has changed.
        """
        self._services.order(self.name, replicas)

    def restart(self, drain: bool = True) -> None:
        """Start each replica again, one after the other.

        Args:
            drain: Whether each finishes first what it has begun; without it, all start again at once.
        """
        self._services.order(self.name, self.config.replicas, drain=drain, renew=True)

    def load_adapter(self, name: str, folder: str) -> None:
        """Have a further LoRA adapter of a model, or another one of a name; requests that come later find it.

        Args:
            name: Requests ask for it by `model="<name>"`.
            folder: Where it is, for the blocks.

        Raises:
            InvalidTask: The model has no named adapters.
            ServiceFailed: A block does not find it; nothing has changed.
        """
        config = self._with_adapters()
        if isinstance(config.adapters, str):
            why = "its adapters are those of a folder, and each is loaded with the first request for it"
            raise InvalidTask("load_adapter", name, why, f"Put it into {config.adapters}")
        self._services.adapt(_having(config, {**config.adapters, name: folder}), ())

    def unload_adapter(self, name: str) -> None:
        """Have a model's engines forget a LoRA adapter; one of a folder is loaded anew with the next request for it.

        Args:
            name: Of the adapter.

        Raises:
            InvalidTask: The model has no adapters, or none of this name.
        """
        config = self._with_adapters()
        left: dict[str, str] | str = config.adapters
        if not isinstance(left, str):
            if name not in left:
                raise InvalidTask("unload_adapter", name, f"it has {', '.join(left) or 'none'}", nearest(name, left))
            left = {other: folder for other, folder in left.items() if other != name}
        self._services.adapt(_having(config, left), [name])

    def _with_adapters(self) -> VLLMService:
        config = self.config
        if not isinstance(config, VLLMService) or not (config.adapters or config.engine_args.get("enable_lora")):
            why = "its engine was started without adapters"
            raise InvalidTask("adapters", self.name, why, "Give VLLMService(adapters=...) one, or a folder for them")
        return config

    # --- waited for ----------------------------------------------------------------------------------------------

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until all replicas answer, in every block that is there, and in one at least.

        Args:
            timeout: Seconds to wait at most; default no limit.

        Raises:
            ServiceFailed: A replica has failed, or the service is stopped.
            ServiceNotReady: They do not answer in time.
        """
        self._services.wait(self.name, timeout, self._is_ready)

    def wait_stopped(self, timeout: float | None = None) -> None:
        """Wait until no replica is left in any block.

        Args:
            timeout: Seconds to wait at most; default no limit.

        Raises:
            ServiceNotReady: Some are there still.
        """
        self._services.wait(self.name, timeout, self._is_stopped)

    def _is_ready(self) -> bool:
        if not self.config.most:
            raise stopped(self.name)
        reports = self._services.reports_of(self.name)
        for id_, report in reports.items():
            if report and not report.changing and report.ready < report.replicas:
                why = report.detail.removeprefix(f"Service '{self.name}' is not available: ").rstrip(".")
                raise ServiceFailed(self.name, f"{why} (block {id_})")
        return bool(reports) and all(report and _settled(report, self.config) for report in reports.values())

    def _is_stopped(self) -> bool:
        reports = self._reports().values()
        return not any(report.changing or report.state != "stopped" for report in reports)

    def _reports(self) -> dict[str, ServiceReport]:
        reports = self._services.reports_of(self.name)
        return {id_: report for id_, report in reports.items() if report}


def _having(config: VLLMService, adapters: dict[str, str] | str) -> VLLMService:
    """Return a model with other adapters; its engines take some, also when none is left."""
    arguments = {"enable_lora": True} | config.engine_args
    return msgspec.structs.replace(config, adapters=adapters, engine_args=arguments)


def _settled(report: ServiceReport, config: ServiceConfig) -> bool:
    return not report.changing and config.least <= report.replicas <= min(config.most, report.ready)
