"""How each runtime is made, and what it runs: the one place where the suite knows runtimes apart.

A new runtime adds a line to `SUBJECTS`. One that lives elsewhere is named by `RHAPSODY_CONTRACT=package.module:NAME`,
with a `Subject` under that name.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import BlockConfig, DragonRuntime, LocalRuntime, MPIRuntime, RuntimeConfig, for_requests
from rhapsody_parsl.in_block.context import Context, Leases, Run
from rhapsody_parsl.pilot.catalogue import build, build_services
from rhapsody_parsl.runtimes.protocol import Runtime
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.messages import Task
from testing.fake_openai import COMMAND

__all__ = ("SUBJECTS", "Factory", "Subject", "subjects")

Factory = Callable[[Context, Leases], Runtime]
"""Makes a runtime that was not started."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A runtime as the suite sees it.

    Attributes:
        id: In the names of the tests.
        make: Makes the runtime.
        make_broken: Makes one that cannot work here; what it says of that names `broken`.
        broken: A word of the reason.
        keys: The annotation of the tasks that it runs.
        refused: The annotation of a task that it refuses.
        comm: Whether the tasks run on ranks.
        bash: Whether it runs bash apps.
        gives_back: Whether it returns what has not begun; one that has begun everything at once does not.
        resident: Whether its processes stay for the next run.
        by_file: Whether a large result travels by shared memory.
        shares_fate: Whether a killed process takes what runs beside it: MPI ends a whole world.
        backend: A part of the command line of what ends the runtime, or a service, when it is killed; "" for none.
        services: Names of the services that it serves.
    """

    id: str
    make: Factory
    make_broken: Factory
    broken: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, Any] = field(default_factory=lambda: {"num_ranks": 2})
    comm: bool = False
    bash: bool = True
    gives_back: bool = True
    resident: bool = True
    by_file: bool = True
    shares_fate: bool = False
    backend: str = ""
    services: tuple[str, ...] = ()


class WithServices:
    """A runtime and the block's services, which the pilot starts and stops with it.

    Args:
        runtime: Puts requests to them.
        services: The services.
    """

    def __init__(self, runtime: Runtime, services: Services) -> None:
        self.name, self.eager = runtime.name, runtime.eager
        self._runtime, self._services = runtime, services

    def refuse(self, spec: TaskSpec) -> str:
        """Ask the runtime."""
        return self._runtime.refuse(spec)

    async def start(self) -> None:
        """Start both, as the pilot does."""
        self._services.start()
        await self._runtime.start()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Give tasks to the runtime."""
        self._runtime.run(run, tasks)

    def end(self, run: Run) -> None:
        """End a run of the runtime."""
        self._runtime.end(run)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Take back tasks of the runtime."""
        self._runtime.cancel(run, tasks, kill)

    async def stop(self) -> None:
        """Stop both at once, as the pilot does."""
        await asyncio.gather(self._services.stop(), self._runtime.stop())


def of(*runtimes: RuntimeConfig, services: Sequence[VLLMService] = ()) -> Factory:
    """Return what makes the runtime of a configuration, or the one that puts requests to services."""

    def make(context: Context, leases: Leases) -> Runtime:
        asks = for_requests(services, workers=2)
        config = BlockConfig(
            label="x", addresses=(), runtimes=(*runtimes, *asks), services=tuple(services), default_runtime="", logs=""
        )
        served = build_services(config, context, leases)
        (runtime,) = build(config, context, served).values()
        return WithServices(runtime, served) if services else runtime

    return make


def example(context: Context, leases: Leases) -> Runtime:
    """Make the runtime of the page "Add a runtime"."""
    from add_a_runtime import SubprocessPool  # noqa: PLC0415 - with the import, its name is known to all tests

    return of(SubprocessPool())(context, leases)


def without_python(make: Factory) -> Factory:
    """Return what makes the same runtime in a block whose Python is not there."""

    def make_without(context: Context, leases: Leases) -> Runtime:
        return make(msgspec.structs.replace(context, python="/no/such/python"), leases)

    return make_without


_LOCAL = of(LocalRuntime())
_LAUNCHES = Subject(
    id="mpi-launches",
    make=of(MPIRuntime()),
    make_broken=of(MPIRuntime(executable="no-such-mpiexec")),
    broken="no-such-mpiexec",
    keys={"num_ranks": 2},
    refused={},
)
_NO_COMMAND = VLLMService("echo", "m", cores=0, server="command", executable=("no-such-server",))
_ECHO = VLLMService("echo", "m", cores=1, memory=1.0, server="command", executable=COMMAND)

SUBJECTS = (
    Subject(id="local", make=_LOCAL, make_broken=without_python(_LOCAL), broken="/no/such/python"),
    Subject(
        id="dragon",
        make=of(DragonRuntime()),
        make_broken=of(DragonRuntime(executable="/no/such/dragon")),
        broken="/no/such/dragon",
        backend="dragon/backend.py",
    ),
    _LAUNCHES,
    replace(_LAUNCHES, id="mpi-functions", comm=True, bash=False, shares_fate=True),
    Subject(
        id="example",
        make=example,
        make_broken=without_python(example),
        broken="/no/such/python",
        resident=False,
        by_file=False,
    ),
    Subject(
        id="vllm",
        make=of(services=[_ECHO]),
        make_broken=of(services=[_NO_COMMAND]),
        broken="no-such-server",
        keys={"service": "echo"},
        refused={"service": "nobody"},
        bash=False,
        gives_back=False,
        by_file=False,
        backend="fake_openai.py",
        services=("echo",),
    ),
)


def subjects() -> list[Subject]:
    """Return those of this package, and the one that the environment names."""
    if named := os.environ.get("RHAPSODY_CONTRACT"):
        module, _, name = named.partition(":")
        return [*SUBJECTS, getattr(import_module(module), name)]
    return list(SUBJECTS)
