"""The ways in which a state goes from one app to the next: as a value, by reference, in files, by ProxyStore.

Each way is a pair of apps: a simulation that takes a state and gives the next one, and a request whose prompt is made
of a state. A state is an array of NumPy with the seconds that its simulation took.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from parsl import python_app

from rhapsody_parsl import MPI, VLLM, Policy, annotate

RANKS = 2 if len(os.sched_getaffinity(0)) > 2 else 1  # noqa: PLR2004 - the third is the model's
_ONE = annotate(MPI(ranks=RANKS))
_ASKS = annotate(VLLM("tiny", max_tokens=8, ignore_eos=True))


class Way(NamedTuple):
    """How states go.

    Attributes:
        name: For the table.
        simulate: App of a state, words and seconds.
        advise: App of a state.
        first: Makes the first state of a number of bytes.
    """

    name: str
    simulate: Any
    advise: Any
    first: Callable[[int], Any]


def _step(state: Any, seconds: float, comm: Any) -> tuple[Any, float]:
    """Compute for a while on all ranks."""
    import time  # noqa: PLC0415 - an app imports where it runs

    began = time.perf_counter()
    after = state + 1
    while time.perf_counter() - began < seconds:
        pass
    comm.barrier()
    return after, time.perf_counter() - began


def _by_value(before: Any, words: str, seconds: float, comm: Any = None) -> Any:
    return _step(before[0], seconds, comm)


def _in_place(before: Any, words: str, seconds: float, comm: Any = None) -> Any:
    """Make the next state where it is to stay."""
    import time  # noqa: PLC0415 - as above

    import numpy  # noqa: PLC0415 - as above

    from rhapsody_parsl import empty  # noqa: PLC0415 - as above

    began = time.perf_counter()
    after = empty(before[0].shape)
    numpy.add(before[0], 1, out=after)
    while time.perf_counter() - began < seconds:
        pass
    comm.barrier()
    return after, time.perf_counter() - began


def _ask(result: Any) -> str:
    return f"Step {int(result[0][0])}: what next?"


def _in_files(before: Any, words: str, seconds: float, comm: Any = None) -> Any:
    import uuid  # noqa: PLC0415 - as above

    import numpy  # noqa: PLC0415 - as above

    state, took = _step(numpy.load(before[0], mmap_mode="r"), seconds, comm)
    path = Path(before[0]).with_name(f"{uuid.uuid4().hex}.npy")
    if comm.Get_rank() == 0:
        numpy.save(path, state)
    return str(path), took


def _ask_of_file(result: Any) -> str:
    import numpy  # noqa: PLC0415 - as above

    return f"Step {int(numpy.load(result[0], mmap_mode='r')[0])}: what next?"


def _by_proxy(before: Any, words: str, seconds: float, comm: Any = None) -> Any:
    from proxystore.store import get_store  # noqa: PLC0415 - as above

    state, took = _step(before[0], seconds, comm)
    store = get_store(before[0])
    return (store.proxy(state) if store and comm.Get_rank() == 0 else None), took


def _zeros(size: int) -> Any:
    import numpy  # noqa: PLC0415 - only the driver's

    return numpy.zeros(size // 8), 0.0


def _app(function: Any, *annotations: Any) -> Any:
    for annotation in annotations:
        function = annotation(function)
    return python_app(function)


def ways(put: Callable[[Any], Any], folder: Path) -> list[Way]:
    """Return the ways that are there.

    Args:
        put: The executor's.
        folder: For files.
    """
    ask, reference = _app(_ask, _ASKS), annotate(MPI(ranks=RANKS), Policy(result="reference"))
    found = [
        Way("value", _app(_by_value, _ONE), ask, _zeros),
        Way("reference", _app(_by_value, reference), ask, lambda size: put(_zeros(size))),
        Way("reference, in place", _app(_in_place, reference), ask, lambda size: put(_zeros(size))),
        Way("files", _app(_in_files, _ONE), _app(_ask_of_file, _ASKS), lambda size: _saved(_zeros(size), folder)),
    ]
    try:
        from proxystore.connectors.file import FileConnector  # noqa: PLC0415 - it need not be there
        from proxystore.store import Store  # noqa: PLC0415 - as above
    except ImportError:
        return found
    store = Store("states", FileConnector(tempfile.mkdtemp(dir=folder)), register=True)
    proxies = Way("ProxyStore, files", _app(_by_proxy, _ONE), ask, lambda size: (store.proxy(_zeros(size)[0]), 0.0))
    return [*found, proxies]


def _saved(state: tuple[Any, float], folder: Path) -> tuple[str, float]:
    import numpy  # noqa: PLC0415 - as above

    path = folder / f"first-{state[0].size}.npy"
    numpy.save(path, state[0])
    return str(path), state[1]
