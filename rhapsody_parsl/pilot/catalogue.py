"""From the user's configuration to the pilot's half of each runtime and service."""

import logging
from collections.abc import Sequence

from rhapsody_parsl import service_table
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.errors import RuntimeUnavailable
from rhapsody_parsl.in_block.context import Leases
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import load
from rhapsody_parsl.runtimes.protocol import Context, Run, Runtime
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.messages import Task

__all__ = ("build", "build_services")

log = logging.getLogger(__name__)

_REMEDY = "Install it in the block's environment, or put it on its PYTHONPATH (the provider's worker_init)"


class _Unavailable:
    """Stands for a runtime whose code is not there: its tasks are told why, and the others work.

    Args:
        name: The runtime's.
        why: A sentence, without its full stop.
    """

    eager = False

    def __init__(self, name: str, why: str) -> None:
        self.name, self._why = name, why

    def refuse(self, _spec: TaskSpec) -> str:
        """Take any: what it would have refused nobody knows."""
        return ""

    async def start(self) -> None:
        """Say why it cannot.

        Raises:
            RuntimeUnavailable: Always.
        """
        raise RuntimeUnavailable(self.name, f"{self._why}. {_REMEDY}.")

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Do nothing: it never starts."""

    def end(self, run: Run) -> None:
        """Do nothing."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""


def build(config: BlockConfig, context: Context, services: Services) -> dict[str, Runtime]:
    """Return the block's runtimes by name.

    Args:
        config: The block's.
        context: What each gets of it.
        services: The block's, for those that take requests.
    """
    runtimes = {runtime.name: _build(runtime, context, services) for runtime in config.runtimes}
    return runtimes | {name: _Unavailable(name, why) for name, why in config.missing.items()}


def _build(config: RuntimeConfig, context: Context, services: Services) -> Runtime:
    more = [services] if config.takes.requests else []
    try:
        runtime: Runtime = load(config.implementation)(config, context, *more)
    except Exception as problem:
        log.exception("runtime %s cannot be made", config.name)
        return _Unavailable(config.name, f"{config.implementation} cannot be used: {problem!r}")
    return runtime


def build_services(config: BlockConfig, context: Context, leases: Leases) -> Services:
    """Return the block's services.

    Args:
        config: The block's.
        context: The block.
        leases: Where they borrow.
    """
    return Services(lambda service: _kind(service, context), config.services, context, leases)


def _kind(config: ServiceConfig, context: Context) -> Kind:
    kind: Kind = load(service_table.of_class(type(config)).implementation)(config, context)
    return kind
