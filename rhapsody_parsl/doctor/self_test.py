"""A real block on this host, and one task in each runtime that is here: some seconds."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, as_completed
from typing import Any, NamedTuple

from parsl.providers import LocalProvider

from rhapsody_parsl.doctor.finding import Finding, problem
from rhapsody_parsl.executors.executor import RhapsodyExecutor
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import own

__all__ = ("try_runtimes",)

_WITHIN = 20.0
_RANKS = 2


def _where() -> int:
    return os.getpid()


def _ranks(comm: Any) -> int:
    return int(comm.allreduce(1))


class _Trial(NamedTuple):
    """How a runtime is tried.

    Attributes:
        runtime: Its configuration.
        function: What it is to run.
        keys: Of the call.
    """

    runtime: RuntimeConfig
    function: Callable[..., int]
    keys: dict[str, Any]


def _trials(here: Collection[str]) -> dict[str, _Trial]:
    """Return how each runtime of ours that is here is tried; one for requests needs a model, and is not."""
    trials: dict[str, _Trial] = {}
    for kind in own():
        if kind.name in here and not kind.takes.requests and issubclass(kind, RuntimeConfig):
            size: dict[str, Any] = {"cores": 1} if kind.takes.single else {"num_ranks": _RANKS}
            function = _where if kind.takes.single else _ranks
            trials[kind.name] = _Trial(kind(), function, {"runtime": kind.name, **size})
    return trials


def try_runtimes(here: Collection[str], within: float = _WITHIN) -> Iterator[Finding]:
    """Start a block here, run a task in each runtime, and yield how that went.

    Args:
        here: Names of the runtimes that can run here.
        within: Seconds for all of it.
    """
    trials, began = _trials(here), time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _block(trials) as executor:
            futures = {executor.submit(trial.function, trial.keys): name for name, trial in trials.items()}
            yield from _outcomes(futures, began, within)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        yield problem("self-test", "block", error)
    else:
        yield Finding(area="self-test", what="block", said=f"started and left in {time.monotonic() - began:.1f} s")


def _block(trials: Mapping[str, _Trial]) -> RhapsodyExecutor:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    made = [trial.runtime for trial in trials.values()]
    return RhapsodyExecutor(label="doctor", provider=provider, runtimes=made, cores_per_node=4, control=False)


def _outcomes(futures: "Mapping[Future[int], str]", began: float, within: float) -> Iterator[Finding]:
    """Yield how each went as it ends, and at last those that have not ended in time."""
    try:
        for future in as_completed(futures, max(0.1, began + within - time.monotonic())):
            yield _outcome(futures[future], future, time.monotonic() - began)
    except TimeoutError:
        for name in (name for future, name in futures.items() if not future.done()):
            said = f"its function has not ended within {within:g} s"
            yield Finding(area="self-test", what=name, said=said, mark="problem", remedy="Try it again on a quiet node")


def _outcome(name: str, future: "Future[int]", took: float) -> Finding:
    if error := future.exception():
        return problem("self-test", name, error)
    value = future.result()
    said = f"a function on {value} ranks" if value == _RANKS else f"a function in process {value}"
    return Finding(area="self-test", what=name, said=f"{said}, {took:.1f} s after the start")
