"""`executor.services`: the services by name, as they are and as they are to be."""

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from rhapsody_parsl.config import encode_service
from rhapsody_parsl.errors import InvalidTask, RhapsodyError, ServiceNotFound, ServiceNotReady
from rhapsody_parsl.executors.admission import Admission
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.running import not_running
from rhapsody_parsl.executors.service_handle import ServiceHandle
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.service_config import ServiceConfig, check_services, stopped
from rhapsody_parsl.wire.messages import Serve
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.views import ServiceStatus
from rhapsody_parsl.wording import nearest

__all__ = ("ExecutorServices", "Line", "check_added")

_LONGEST_TAIL = 256 * 1024
"""Bytes read of the end of a log."""


class Line(Protocol):
    """The part of the executor's link that orders need."""

    @property
    def blocks(self) -> Blocks:
        """The connected blocks."""

    def order(self, name: str, order: Serve) -> list[RhapsodyError]:
        """Tell all blocks, and those that come; return why some refuse."""

    def wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so of the blocks; return whether it is."""


class ExecutorServices(Mapping[str, ServiceHandle]):
    """An executor's services by name.

    Args:
        configs: Those that it is made with.
        check: Refuses a further service that the executor cannot have, and knows it from then on.

    Attributes:
        waiting: How many threads wait for something to be so of a service: a block is to be there for them.
    """

    def __init__(self, configs: Sequence[ServiceConfig], check: Callable[[ServiceConfig], None]) -> None:
        self._configs = {config.name: config for config in configs}
        self._before = {config.name: _some(config) for config in configs}
        self._check = check
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._line: Line | None = None
        self._folder = Path()
        self._publish: Callable[[], None] = lambda: None
        self.waiting = 0

    def begin(self, line: Line, folder: Path, publish: Callable[[], None]) -> None:
        """The executor has started.

        Args:
            line: To its blocks.
            folder: Of its logs.
            publish: Writes for blocks that come how the services are to be.
        """
        self._line, self._folder, self._publish = line, folder, publish

    # --- for users -----------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> ServiceHandle:
        if name not in self._configs:
            hint = nearest(name, self._configs) or f"Known are {', '.join(self._configs) or 'none'}"
            raise ServiceNotFound("services", name, "no such service", hint)
        return ServiceHandle(name, self)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._configs))

    def __len__(self) -> int:
        return len(self._configs)

    def __contains__(self, name: object) -> bool:
        return name in self._configs

    def __repr__(self) -> str:
        return repr(self.configs)

    @property
    def configs(self) -> tuple[ServiceConfig, ...]:
        """The services as they are to be now."""
        return tuple(self._configs.values())

    def add(self, service: ServiceConfig) -> ServiceHandle:
        """Have a further service, in the blocks that are there and in those that come.

        Args:
            service: It needs a name of its own.

        Returns:
            The service, which starts.

        Raises:
            InvalidTask: This executor cannot have it.
            ServiceFailed: A block can never hold its replicas.
        """
        with self._lock:
            check_services([*self.configs, service], "services")
            self._check(service)
            self._tell(service)
            self._configs[service.name], self._before[service.name] = service, _some(service)
            self._publish()
        return self[service.name]

    # --- for handles ---------------------------------------------------------------------------------------------

    def config_of(self, name: str) -> ServiceConfig:
        """Return a service as it is to be now."""
        return self._configs[name]

    def replicas_before(self, name: str) -> int | tuple[int, int]:
        """Return how many replicas a service had before it was stopped."""
        return self._before[name]

    def check_running(self, name: str) -> None:
        """Refuse a request to a service that was stopped.

        Raises:
            ServiceFailed: It was.
        """
        if not self._configs[name].most:
            raise stopped(name)

    def order(self, name: str, replicas: int | tuple[int, int], *, drain: bool = True, renew: bool = False) -> None:
        """Have another number of replicas of a service.

        Args:
            name: The service's.
            replicas: How many, or at least and at most.
            drain: Whether those that go finish what they have begun.
            renew: Whether those that stay are started again.

        Raises:
            InvalidTask: It cannot have as many.
            RhapsodyError: A block refuses; nothing has changed.
        """
        with self._lock:
            former = self._configs[name]
            self._change(msgspec.structs.replace(former, replicas=replicas), drain=drain, renew=renew)
            if former.most:
                self._before[name] = former.replicas

    def adapt(self, config: ServiceConfig, unload: Sequence[str]) -> None:
        """Have other adapters of a model.

        Args:
            config: As it is to be.
            unload: Those that its engines are to forget.

        Raises:
            RhapsodyError: A block refuses; nothing has changed.
        """
        with self._lock:
            self._change(config, unload=unload)

    def _change(self, config: ServiceConfig, **how: Any) -> None:
        former = self._configs[config.name]
        self._configs[config.name] = config  # from now on requests are refused, when it is stopped
        try:
            self._tell(config, **how)
        except RhapsodyError:
            self._configs[config.name] = former
            self._tell(former)
            raise
        self._publish()

    def _tell(
        self, config: ServiceConfig, *, drain: bool = True, renew: bool = False, unload: Sequence[str] = ()
    ) -> None:
        if self._line:
            order = Serve(next(self._numbers), encode_service(config), drain, renew, list(unload))
            for refusal in self._line.order(config.name, order):
                raise refusal

    def wait(self, name: str, timeout: float | None, condition: Callable[[], bool]) -> None:
        """Wait until something is so of a service.

        Args:
            name: The service's.
            timeout: Seconds at most; None for no limit.
            condition: What is to be.

        Raises:
            RhapsodyError: The executor was not started.
            ServiceNotReady: It is not so in time.
        """
        if self._line is None:
            raise not_running()
        self._count_waiting(1)
        try:
            if not self._line.wait_for(condition, timeout):
                raise ServiceNotReady(name, "timeout", timeout or 0.0, _told(self[name].status()))
        finally:
            self._count_waiting(-1)

    def _count_waiting(self, more: int) -> None:
        with self._lock:
            self.waiting += more

    def reports_of(self, name: str) -> dict[str, ServiceReport | None]:
        """Return what each block that takes tasks last said of a service; None while it has said nothing."""
        blocks = [block for block in self._line.blocks if block.inventory] if self._line else []
        return {block.id: _report(block, name) for block in blocks if not block.closing}

    def logs(self, name: str, lines: int) -> dict[str, str]:
        """Return the last lines of the logs of a service's replicas, by file."""
        of_it = re.compile(rf"{re.escape(name)}-\d+(\.node\d+)?\.log")
        paths = [path for path in self._folder.glob("block-*/*.log") if of_it.fullmatch(path.name)]
        return {str(path.relative_to(self._folder)): _tail(path, lines) for path in sorted(paths)}


def _some(config: ServiceConfig) -> int | tuple[int, int]:
    """Return how many replicas a service has when it is not stopped."""
    return config.replicas if config.most else 1


def _report(block: Block, name: str) -> ServiceReport | None:
    return next((report for report in block.report.services if report.name == name), None)


def _tail(path: Path, lines: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_TAIL))
        text = file.read().decode(errors="replace")
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""


def _told(status: ServiceStatus) -> str:
    """Return how a service is, for people."""
    blocks = [f"block {id_} {one.state}, {one.ready} of {one.replicas}" for id_, one in status.blocks.items()]
    return "; ".join(blocks) or "no block is there yet"


def check_added(admission: Admission, offers: Sequence[RuntimeConfig], service: ServiceConfig) -> None:
    """Check a service that comes when the executor is there, and have submits know it.

    Args:
        admission: The executor's.
        offers: Its runtimes.
        service: That is to be added.

    Raises:
        InvalidTask: It takes requests and there is nothing to put them with, or it spans too many nodes.
    """
    if service.takes_requests and not any(runtime.takes.requests for runtime in offers):
        raise InvalidTask(
            "services",
            service.name,
            "it takes requests, and no service of this executor did when it was made",
            "Name it in RhapsodyExecutor(services=[...]), with replicas=0 when it is to be started later",
        )
    admission.add(service)
