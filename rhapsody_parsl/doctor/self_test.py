"""A real block on this host, and one task in each runtime that is here: some seconds."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from parsl.providers import LocalProvider

from rhapsody_parsl.config import DragonRuntime, LocalRuntime, MPIRuntime
from rhapsody_parsl.doctor.finding import Finding, problem
from rhapsody_parsl.executors.executor import RhapsodyExecutor
from rhapsody_parsl.runtime_config import RuntimeConfig

__all__ = ("try_runtimes",)

_WITHIN = 20.0
_RANKS = 2


def _where() -> int:
    return os.getpid()


def _ranks(comm: Any) -> int:
    return int(comm.allreduce(1))


_TRIALS: dict[str, tuple[Callable[[], RuntimeConfig], Callable[..., int], dict[str, Any]]] = {
    "local": (LocalRuntime, _where, {"runtime": "local", "cores": 1}),
    "mpi": (MPIRuntime, _ranks, {"runtime": "mpi", "num_ranks": _RANKS}),
    "dragon": (DragonRuntime, _where, {"runtime": "dragon", "cores": 1}),
}


def try_runtimes(here: Mapping[str, bool], within: float = _WITHIN) -> Iterator[Finding]:
    """Start a block here, run a task in each runtime, and yield how that went.

    Args:
        here: Which runtimes can run here.
        within: Seconds for all of it.
    """
    wanted = [name for name in _TRIALS if here.get(name, name == "local")]
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _block(wanted) as executor:
            futures = {name: executor.submit(_TRIALS[name][1], _TRIALS[name][2]) for name in wanted}
            for name, future in futures.items():
                yield _tried(name, lambda future=future: future.result(_left(began, within)), began)  # type: ignore[misc]  # bound for this one
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        yield problem("self-test", "block", error)
    else:
        yield Finding(area="self-test", what="block", said=f"started and left in {time.monotonic() - began:.1f} s")


def _block(runtimes: list[str]) -> RhapsodyExecutor:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    made = [_TRIALS[name][0]() for name in runtimes]
    return RhapsodyExecutor(label="doctor", provider=provider, runtimes=made, cores_per_node=4, control=False)


def _left(began: float, within: float) -> float:
    return max(0.1, began + within - time.monotonic())


def _tried(name: str, result: Callable[[], int], began: float) -> Finding:
    try:
        value = result()
    except Exception as error:  # noqa: BLE001 - as above
        return problem("self-test", name, error)
    said = f"a function on {value} ranks" if name == "mpi" else f"a function in process {value}"
    return Finding(area="self-test", what=name, said=f"{said}, {time.monotonic() - began:.1f} s after the start")
