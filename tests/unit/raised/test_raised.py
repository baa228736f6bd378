"""Whatever a task raises arrives: as itself where its class can be opened, else in words; and Parsl can use it."""

import asyncio
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.errors import RemoteError
from rhapsody_parsl.raised import revival
from rhapsody_parsl.raised.account import encoded
from rhapsody_parsl.raised.revival import revive
from tests.unit.raised import strange

KINDS = [kind.__name__ for kind in strange.KINDS]
NO_EXCEPTIONS = {
    "keyboard_interrupt": KeyboardInterrupt,
    "generator_exit": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "base_exception": strange.Ends,
    "odd_group": strange.Odd,
}
# Their classes are Python's own, or travel with the exception.
OPEN_ANYWHERE = {"endless", "warning", "keyboard_interrupt", "generator_exit", "cancelled", "wide_group", "group"}
TELL = """
import importlib, json, sys
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.worker.call import call
strange = importlib.import_module(sys.argv[1])
told = {}
for kind in strange.KINDS:
    strange.NoInit.made = False
    told[kind.__name__] = call(1, pack_call(strange.with_a_note, (kind.__name__,), {})).payload.hex()
print(json.dumps(told))
"""
ROOT = Path(__file__).parents[3]


def tell(module: str, *folders: str) -> dict[str, bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *folders])}
    command = [sys.executable, "-c", TELL, module]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    return {kind: bytes.fromhex(told) for kind, told in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    """Return what a task's process tells when the driver has the classes too."""
    strange.NoInit.made = True  # so that its __init__ raises here
    return tell("tests.unit.raised.strange")


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """Return what a task's process tells when it alone has the classes."""
    folder = tmp_path_factory.mktemp("there")
    shutil.copy(strange.__file__, folder / "only_there.py")
    yield tell("only_there", str(folder))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("only_there")


def works_with_futures(problem: BaseException) -> None:
    """Do with it what `concurrent.futures` and Parsl's DataFlowKernel do."""
    future: Future[None] = Future()
    future.set_exception(problem)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - all that Parsl catches
        future.result()
    assert isinstance(repr(caught.value), str)
    assert traceback.format_exception(caught.value)


def words_of(problem: BaseException) -> str:
    return f"{type(problem).__qualname__} {problem} {problem.__notes__}"


@pytest.mark.parametrize("kind", KINDS)
def test_it_arrives_as_itself_where_its_class_is(known: dict[str, bytes], kind: str) -> None:
    problem = revive(known[kind])
    works_with_futures(problem)
    strange.NoInit.made = False
    with pytest.raises(BaseException) as original:  # noqa: PT011 - as the table says
        getattr(strange, kind)()
    if kind == "of_the_function":
        assert type(problem).__name__ == original.type.__name__
    else:
        assert isinstance(problem, original.type)
    assert isinstance(problem, RemoteError) == (kind in NO_EXCEPTIONS)
    assert strange.REASON in str(problem)
    assert problem.__notes__[0] == "a note"
    assert "with_a_note" in [frame.name for frame in traceback.extract_tb(problem.__traceback__)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_arrives_in_words_where_its_class_is_not(unknown: dict[str, bytes], kind: str) -> None:
    problem = revive(unknown[kind])
    works_with_futures(problem)
    assert strange.REASON in str(problem)
    assert problem.__notes__[0] == "a note"
    assert "with_a_note" in [frame.name for frame in traceback.extract_tb(problem.__traceback__)]
    if kind in OPEN_ANYWHERE or kind == "of_the_function":
        return
    assert isinstance(problem, RemoteError)
    assert problem.name.startswith("only_there.")
    assert "with_a_note" in problem.traceback
    assert strange.REASON in problem.message
    assert "No module named 'only_there'" in problem.why or "SystemExit" in problem.why or problem.why
    assert len(str(problem)) < 200_000
    copy = pickle.loads(pickle.dumps(problem))
    assert (str(copy), copy.__notes__) == (str(problem), problem.__notes__)


def test_what_has_no_fault_is_what_parsl_would_give(known: dict[str, bytes]) -> None:
    problem = revive(known["plain"])
    assert type(problem) is strange.Plain
    assert (problem.args, problem.__notes__) == ((strange.REASON,), ["a note"])
    assert traceback.extract_tb(problem.__traceback__)[-1].line == "raise Plain(REASON)"


def test_messages_survive_a_picky_class(known: dict[str, bytes]) -> None:
    assert str(revive(known["picky"])) == f"{strange.REASON} is this"
    assert str(revive(known["doubling"])) == f"{strange.REASON} this"
    problem: Any = revive(known["system_error"])
    assert (problem.errno, problem.filename) == (2, "a file")


def test_what_cannot_travel_is_left_behind_and_named(known: dict[str, bytes]) -> None:
    problem: Any = revive(known["unpicklable_attribute"])
    assert problem.code == 7
    assert not hasattr(problem, "pocket")
    assert "attribute 'pocket' (TypeError: this one stays here)" in problem.__notes__[1]
    assert "argument 1" in revive(known["unpicklable_arguments"]).__notes__[1]


def test_causes_and_contexts_come_too(known: dict[str, bytes], unknown: dict[str, bytes]) -> None:
    problem = revive(known["strange_cause"])
    assert isinstance(problem.__cause__, strange.Ours)
    assert str(problem.__cause__) == "the cause"
    circular = revive(known["circular_causes"])
    assert str(circular.__cause__) == "other"
    printed = "".join(traceback.format_exception(revive(unknown["strange_cause"])))
    assert "only_there.Ours: the cause" in printed


def test_a_group_keeps_its_members(known: dict[str, bytes], unknown: dict[str, bytes]) -> None:
    problem = revive(known["group"])
    assert isinstance(problem, ExceptionGroup)
    first, inner, last = problem.exceptions
    assert [type(each) for each in (first, inner, last)] == [strange.Plain, ExceptionGroup, strange.NoReduce]
    assert [str(each) for each in inner.exceptions] == ["a is b", "c"]
    there = revive(unknown["group"])
    assert isinstance(there, ExceptionGroup)
    assert [each.name.removeprefix("only_there.") for each in there.exceptions if isinstance(each, RemoteError)] == [
        "Plain",
        "NoReduce",
    ]


def test_a_class_that_raises_in_its_words_is_still_caught_by_its_class(known: dict[str, bytes]) -> None:
    for kind, wanted in (("str_raises", strange.NoStr), ("repr_raises", strange.NoRepr), ("false", strange.Falsy)):
        problem = revive(known[kind])
        assert isinstance(problem, wanted)
        assert bool(problem)
        assert strange.REASON in repr(problem)


@pytest.mark.parametrize(("kind", "wanted"), NO_EXCEPTIONS.items())
def test_what_is_no_exception_is_caught_as_both(known: dict[str, bytes], kind: str, wanted: type[Exception]) -> None:
    problem = revive(known[kind])
    assert isinstance(problem, wanted)
    assert isinstance(problem, RemoteError)
    assert type(pickle.loads(pickle.dumps(problem))) is RemoteError


def test_one_whose_notes_cannot_be_looked_for_can_be_printed() -> None:
    problem = revive(encoded(strange.NoNotes(strange.REASON)))
    assert type(problem) is strange.NoNotes
    works_with_futures(problem)


@pytest.mark.parametrize("kind", [strange.NoAttributes, strange.Hangs])
def test_one_that_cannot_be_opened_or_takes_for_ever_is_words(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revival, "_LONGEST", 0.3)
    problem = revive(encoded(kind(strange.REASON)))
    works_with_futures(problem)
    assert isinstance(problem, RemoteError)
    assert strange.REASON in str(problem)


def test_large_arguments_travel_once() -> None:
    assert len(encoded(ValueError(bytes(5_000_000)))) < 6_000_000
    problem = ValueError(bytes(5_000_000))
    problem.pocket = strange.Unpicklable()  # type: ignore[attr-defined]  # that is the point
    assert revive(encoded(problem)).args == problem.args


def test_the_words_are_bounded(known: dict[str, bytes]) -> None:
    assert len(known["long_chain"]) < 2_000_000
    assert len(known["endless"]) < 1_000_000
    assert len(known["ten_megabytes"]) < 11_000_000
