"""No subclass of ours hides a name of a foreign base class by accident: Python 3.13's `Thread._handle` was one.

What is meant to override stands in MEANT. Names with two underscores at both ends are Python's to override, and the
public ones of Parsl and Globus Compute are the contracts that we fulfil.
"""

import ast
import ctypes
import importlib
import inspect
import pkgutil
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import rhapsody_parsl

OURS = "rhapsody_parsl"
NEED_OTHERS = (
    "dragon.patches", "dragon.backend", "dragon.worker", "mpi.world.rank", "vllm.engine", "vllm.engine_host",
    "vllm.plain_completions",
)  # fmt: skip
"""Modules of processes that have their runtime's packages, or are programs."""
MEANT = {
    "_Archive": {"add"},
    "BlockExecutor": {"shutdown", "submit"},
    "BlockLife": {"_get_launch_command", "_last_poll_time", "_launch_block"},
    "ChildFuture": {"cancel", "exception", "result"},
    "RhapsodyEngine": {"_engine_ready", "_handle_task_exception", "_submit"},
    "RhapsodyExecutor": {"_executor_exception"},
    "ControlServer": {"run"},
    "Link": {"run"},
    "Listener": {"run"},
    "Pipe": {"connection_lost", "connection_made", "data_received", "pause_writing", "resume_writing"},
    "_Maker": {"run"},
    "_Visitor": {"connection_lost", "connection_made"},
    "LightCondition": {
        "_acquire_restore",
        "_is_owned",
        "_lock",
        "_release_save",
        "_waiters",
        "acquire",
        "release",
        "wait",
    },
    "Streamed": {"set_exception", "set_result"},
    "TaskFuture": {"_condition", "add_done_callback", "cancel"},
    "_Sketcher": {"find_class"},
}


LATER: dict[type, set[str]] = {
    threading.Thread: {"_handle", "_after_fork", "_context", "_os_thread_handle", "_set_os_name"},
    Future: {"_get_snapshot"},
    ctypes.Structure: {"_align_", "_layout_"},
}
"""What Pythons up to 3.14 add to bases of ours: a test on an older one sees it too."""


def classes() -> Iterator[type]:
    for found in pkgutil.walk_packages(rhapsody_parsl.__path__, f"{OURS}."):
        if found.name.endswith("__main__") or any(part in found.name for part in NEED_OTHERS):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError:  # of a runtime that is not installed here
            continue
        yield from (
            kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__
        )


def foreign_bases(kind: type) -> list[type]:
    bases = [base for base in kind.__mro__[1:] if base is not object and not base.__module__.startswith(OURS)]
    return [base for base in bases if base.__module__ not in ("typing", "abc", "msgspec")]


def names_of(kind: type) -> set[str]:
    """Return the names that a class and its methods set: on itself, and on `self`."""
    names = set(vars(kind))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # written in C
        return names
    return names | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def is_our_business(name: str, base: type) -> bool:
    if (name.startswith("__") and name.endswith("__")) or name == "_abc_impl":
        return False
    return name.startswith("_") or base.__module__.partition(".")[0] not in ("parsl", "globus_compute_endpoint")


def hidden(kind: type) -> set[str]:
    ours = names_of(kind)
    theirs = {base: names_of(base) | LATER.get(base, set()) for base in foreign_bases(kind)}
    return {name for base, names in theirs.items() for name in names & ours if is_our_business(name, base)}


def test_names_of_foreign_bases_are_hidden_on_purpose_only() -> None:
    subclasses = {kind for kind in classes() if foreign_bases(kind)}
    assert {"Link", "RhapsodyExecutor", "TaskFuture"} <= {kind.__name__ for kind in subclasses}
    found = {kind.__name__: hidden(kind) for kind in subclasses}
    assert {name: names for name, names in found.items() if names} == {
        name: names for name, names in MEANT.items() if name in found
    }


@pytest.mark.parametrize(("body", "name"), [
    ("def _target(self): ...", "_target"), ("_target = 1", "_target"),
    ("def f(self):\n        self._target: int = 1", "_target"), ("def _handle(self): ...", "_handle"),
    ("def f(self):\n        self._context = 1", "_context"),
])  # fmt: skip
def test_a_hidden_name_is_found(body: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hiding.py").write_text(f"import threading\n\nclass Hiding(threading.Thread):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hiding", raising=False)
    importlib.invalidate_caches()
    assert hidden(importlib.import_module("hiding").Hiding) == {name}
