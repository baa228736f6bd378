"""What a task raises arrives, whichever way it runs; what cannot be opened is named. The classes: `strange.py`."""

import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, join_app, python_app
from parsl.dataflow.errors import DependencyError
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import PayloadError, RemoteError
from tests.integration import apps
from tests.unit.raised import strange

pytestmark = pytest.mark.mpi
TIMEOUT = 60
WAYS: dict[str, dict[str, Any]] = {
    "worker": {"runtime": "local"},
    "process": {"runtime": "local", "isolation": "process"},
    "launch": {"runtime": "mpi", "num_ranks": 1},
    "ranks": {"runtime": "mpi", "num_ranks": 2},
}
KINDS = [kind.__name__ for kind in strange.KINDS]
FEW = ["picky", "reduce_raises", "repr_raises", "keyboard_interrupt", "group", "circular_causes", "endless"]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("errors")
    shutil.copy(strange.__file__, folder / "only_there.py")
    provider = LocalProvider(worker_init=f"export PYTHONPATH={folder}:$PYTHONPATH")
    executor = RhapsodyExecutor(runtimes=[LocalRuntime(), MPIRuntime()], provider=provider, cores_per_node=2)
    with parsl.load(Config(executors=[executor], run_dir=str(folder), initialize_logging=False)):
        yield executor


def fails_there(kind: str) -> None:
    import only_there  # type: ignore[import-not-found]  # it is in the block alone

    only_there.with_a_note(kind)


def one_rank_fails(kind: str, comm: Any) -> None:
    if comm.rank == 1:
        strange.with_a_note(kind)


def shell_fails(kind: str) -> str:
    strange.with_a_note(kind)
    return "true"


def thing_there() -> object:
    import only_there

    thing = only_there.Thing()
    thing.number, thing.words = 4711, ["a", "b"]
    return {"found": thing}


def holds_a_generator() -> object:
    return {"fine": 1, "model": [0, {"lines": (n for n in "ab")}]}


def use(first: int, *, config: object) -> None:
    """Take anything."""


def error_of(future: Any) -> Any:
    error = future.exception(TIMEOUT)
    assert error is not None
    return error


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_arrives_every_way(executor: RhapsodyExecutor, way: str) -> None:
    with_comm = way == "ranks"
    function: Any = one_rank_fails if with_comm else strange.with_a_note
    kinds = FEW if way == "process" else KINDS
    app = python_app(function)
    futures = {kind: app(kind, parsl_resource_specification=WAYS[way]) for kind in kinds}
    for kind, future in futures.items():
        error = error_of(future)
        assert strange.REASON in str(error), kind
        assert error.__notes__[0] == "a note", kind
        assert "with_a_note" in [frame.name for frame in traceback.extract_tb(error.__traceback__)], kind
        assert not with_comm or "Raised by rank 1 of 2" in error.__notes__[1], kind


@pytest.mark.parametrize("way", WAYS)
def test_a_class_that_only_the_block_has_arrives_in_words(executor: RhapsodyExecutor, way: str) -> None:
    error = error_of(python_app(fails_there)("plain", parsl_resource_specification=WAYS[way]))
    assert isinstance(error, RemoteError)
    assert "The task raised only_there.Plain: the real reason" in str(error)
    assert "No module named 'only_there'" in str(error)
    assert "Install its package at the driver" in str(error)
    assert "in with_a_note" in error.traceback


@pytest.mark.parametrize("kind", FEW)
def test_a_bash_app_raises_alike(executor: RhapsodyExecutor, kind: str) -> None:
    error = error_of(bash_app(shell_fails)(kind, parsl_resource_specification=WAYS["worker"]))
    assert strange.REASON in str(error)
    assert error.__notes__[0] == "a note"


def test_what_depends_on_it_says_so(executor: RhapsodyExecutor) -> None:
    spec = WAYS["worker"]
    failed = python_app(strange.with_a_note)("repr_raises", parsl_resource_specification=spec)
    error = error_of(python_app(apps.same)(failed, parsl_resource_specification=spec))
    assert isinstance(error, DependencyError)
    assert isinstance(error.dependent_exceptions_tids[0][0], strange.NoRepr)
    joined = join_app(lambda: python_app(strange.with_a_note)("picky", parsl_resource_specification=spec))
    assert strange.REASON in str(error_of(joined()).dependent_exceptions_tids[0][0])


def test_a_result_whose_class_only_the_block_has_is_described(executor: RhapsodyExecutor) -> None:
    error = error_of(python_app(thing_there)(parsl_resource_specification=WAYS["worker"]))
    assert isinstance(error, PayloadError)
    for words in ("No module named 'only_there'", "only_there.Thing(number=4711, words=['a', 'b'])", "at the driver"):
        assert words in str(error)


def test_a_result_that_cannot_be_packed_is_looked_into(executor: RhapsodyExecutor) -> None:
    error = error_of(python_app(holds_a_generator)(parsl_resource_specification=WAYS["worker"]))
    assert "cannot pickle 'generator' object" in str(error)
    assert "result['model'][1]['lines'], a generator" in str(error)


def test_an_argument_whose_class_only_the_driver_has_is_named(
    executor: RhapsodyExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("class Settings:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]  # made just now

    for call in (((1,), {"config": only_here.Settings()}), ((only_here.Settings(),), {"config": 2})):
        args, kwargs = call
        error = error_of(python_app(use)(*args, **kwargs, parsl_resource_specification=WAYS["worker"]))
        assert isinstance(error, PayloadError)
        assert isinstance(error.__cause__, ModuleNotFoundError)
        assert ("argument 'config'" if args == (1,) else "argument 0 ('first')") in str(error)
        assert "only_here.Settings" in str(error)
    with pytest.raises(PayloadError, match=r"arguments\[0\]\['lines'\], a generator"):
        executor.submit(apps.take, WAYS["worker"], {"lines": (n for n in "ab")})


def test_the_link_lives_on(executor: RhapsodyExecutor) -> None:
    """What ends a process where it is opened must not end the driver's one thread."""
    future = executor.submit(strange.NoSetstate, WAYS["worker"], 1)
    assert isinstance(error_of(future), PayloadError)
    assert executor.submit(apps.add, WAYS["worker"], 1).result(TIMEOUT) == 2
