"""The ways in which a state goes from one app to the next: by value, reference, file, ProxyStore, or Dragon's DDict.

Each way is a pair of apps: a simulation that takes a state and gives the next one, and a request whose prompt is made
of a state. A state is an array of NumPy with the seconds that its simulation took.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from parsl import python_app

from rhapsody_parsl import MPI, VLLM, CommandService, Dragon, Policy, RhapsodyExecutor, annotate
from testing.servers import REDIS, has
from testing.waiting import until

CACHE = [CommandService("cache", REDIS, cores=0)] if has(REDIS) else []
"""Redis, where it is installed."""
_DDICT = 2 << 30
"""Bytes of Dragon's dictionary."""
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
        is_deleted: Whether each state is, once the next one is there.
    """

    name: str
    simulate: Any
    advise: Any
    first: Callable[[int], Any]
    is_deleted: bool = False


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


def _by_ddict(before: Any, words: str, seconds: float) -> Any:
    """Take a state out of Dragon's dictionary, and put the next one into it; it has one process."""
    import time  # noqa: PLC0415 - as above

    import numpy  # noqa: PLC0415 - as above
    from dragon.data.ddict import DDict  # noqa: PLC0415 - as above

    step, _, size, descriptor = before
    began = time.perf_counter()
    shared = DDict.attach(descriptor)
    after = (shared["state"] if step else numpy.zeros(size // 8)) + 1
    while time.perf_counter() - began < seconds:
        pass
    took = time.perf_counter() - began
    shared["state"] = after
    shared.detach()
    return step + 1, took, size, descriptor


def _hold_ddict(folder: str, size: int) -> None:
    """Have Dragon's dictionary there until told; it lives as long as the task that made it."""
    import os  # noqa: PLC0415 - as above
    import time  # noqa: PLC0415 - as above

    from dragon.data.ddict import DDict  # noqa: PLC0415 - as above

    shared = DDict(1, 1, size)
    Path(folder, "part").write_text(shared.serialize())
    os.rename(f"{folder}/part", f"{folder}/ddict")
    while not Path(folder, "over").exists():
        time.sleep(0.05)  # noqa: TID251 - a process of another runtime tells it
    shared.destroy()


def _ask_of_number(result: Any) -> str:
    return f"Step {result[0]}: what next?"


def _zeros(size: int) -> Any:
    import numpy  # noqa: PLC0415 - only the driver's

    return numpy.zeros(size // 8), 0.0


def _app(function: Any, *annotations: Any) -> Any:
    for annotation in annotations:
        function = annotation(function)
    return python_app(function)


@contextlib.contextmanager
def ways(executor: RhapsodyExecutor, folder: Path) -> Iterator[list[Way]]:
    """Give the ways that are there.

    Args:
        executor: Its block has MPI, Dragon, a tiny model, and the services of `CACHE`.
        folder: For files.
    """
    ask, reference = _app(_ask, _ASKS), annotate(MPI(ranks=RANKS), Policy(result="reference"))
    put, by_reference = executor.put, _app(_by_value, reference)
    found = [
        Way("value", _app(_by_value, _ONE), ask, _zeros),
        Way("reference", by_reference, ask, lambda size: put(_zeros(size))),
        Way("reference, deleted", by_reference, ask, lambda size: put(_zeros(size)), is_deleted=True),
        Way("reference, in place", _app(_in_place, reference), ask, lambda size: put(_zeros(size))),
        Way("files", _app(_in_files, _ONE), _app(_ask_of_file, _ASKS), lambda size: _saved(_zeros(size), folder)),
        *_proxies(executor, ask, folder),
    ]
    held = executor.submit(_hold_ddict, {"runtime": "dragon", "cores": 0}, str(folder), _DDICT)
    try:
        until(lambda: held.done() or (folder / "ddict").exists())
        descriptor = (folder / "ddict").read_text()
        by_ddict, ask_of_number = _app(_by_ddict, annotate(Dragon())), _app(_ask_of_number, _ASKS)
        yield [*found, Way("Dragon's DDict", by_ddict, ask_of_number, lambda size: (0, 0.0, size, descriptor))]
    finally:
        (folder / "over").touch()
        held.result()


def _proxies(executor: RhapsodyExecutor, ask: Any, folder: Path) -> Iterator[Way]:
    try:
        from proxystore.connectors.file import FileConnector  # noqa: PLC0415 - it need not be there
        from proxystore.connectors.redis import RedisConnector  # noqa: PLC0415 - as above
        from proxystore.store import Store  # noqa: PLC0415 - as above
    except ImportError:
        return
    connectors: dict[str, Any] = {"files": FileConnector(tempfile.mkdtemp(dir=folder))}
    if CACHE:
        connectors["Redis"] = RedisConnector(*executor.submit(_address, {}, CACHE[0].name).result())
    for name, connector in connectors.items():
        store = Store(f"states in {name}", connector, register=True)
        first = partial(_proxied, store)
        yield Way(f"ProxyStore, {name}", _app(_by_proxy, _ONE), ask, first)


def _address(name: str) -> tuple[str, int]:
    from rhapsody_parsl import service  # noqa: PLC0415 - where a service is, tasks know

    return service(name).host, service(name).port


def _proxied(store: Any, size: int) -> tuple[Any, float]:
    return store.proxy(_zeros(size)[0]), 0.0


def _saved(state: tuple[Any, float], folder: Path) -> tuple[str, float]:
    import numpy  # noqa: PLC0415 - as above

    path = folder / f"first-{state[0].size}.npy"
    numpy.save(path, state[0])
    return str(path), state[1]
