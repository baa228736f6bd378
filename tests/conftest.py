"""What holds for every test: its kind by its folder, its deadline, and nothing left behind."""

import contextlib
import gc
import os
import signal
import traceback
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.pythons import dragon_misfit
from testing import leaks

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
KINDS = ("unit", "integration", "globus", "cluster")
DEADLINES = {"integration": 180, "globus": 240, "cluster": 300}  # seconds; units have the 30 s of pyproject.toml
_DEADLINE = pytest.StashKey[Any]()


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the watch, and let workers import the tests, before the first test."""
    leaks.adopt_orphans()
    apart = contextlib.ExitStack()
    apart.enter_context(leaks.keep_apart())
    config.add_cleanup(apart.close)
    # A shell ignores Ctrl-C for what it runs in the background, and our children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Python's own helper for shared memory starts on first use and stays: no leak of a test.
    resource_tracker.ensure_running()
    # A worker opens the functions of a test by name, and another `tests` is on its path.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "examples")])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, and give the slow kinds their deadline."""
    tests = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(tests).parts[0]
        if item.get_closest_marker("dragon") and (why := dragon_misfit()):
            item.add_marker(pytest.mark.skip(reason=why))
        if kind in KINDS:
            item.add_marker(kind)
        if kind in DEADLINES and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(DEADLINES[kind]))


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Keep what pytest-timeout is about to set."""
    item.stash[_DEADLINE] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have a second try begin as the first one did: with its whole deadline, and with wide fixtures of its own."""
    if getattr(item, "execution_count", 1) > 1:
        settings = item.stash.get(_DEADLINE, None)
        if settings is not None and not settings.func_only:
            item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
        _end_wide_fixtures(item)


def _end_wide_fixtures(item: pytest.Item) -> None:
    """End what a first try may have harmed; it has failed already, so what its end finds fails nobody."""
    # where the tries are made, these are set aside for the next one
    item.config.pluginmanager.getplugin("rerunfailures")._restore_suspended_finalizers(item)
    try:
        item.session._setupstate.teardown_exact(None)
    except Exception:  # noqa: BLE001 - whatever the first try caused
        traceback.print_exc()


def pytest_collection_finish() -> None:
    """Set aside what stands for as long as the tests run, so that a look for garbage is cheap."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why each test that got a second try needed one."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"first try of {report.nodeid} ({report.when})")
        report.toterminal(terminalreporter._tw)  # as pytest shows a failure


def _is_real(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(kind) for kind in ("integration", "globus"))


@pytest.fixture(autouse=True, scope="session")
def nothing_left_by_fixtures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the last test when what several tests with real parts shared left something."""
    with leaks.watch() if any(map(_is_real, request.session.items)) else contextlib.nullcontext():
        yield


@pytest.fixture(autouse=True, scope="module")
def nothing_unclosed() -> Iterator[None]:
    """Fail the last test of a module that leaves something unclosed, and not whoever next looks for garbage."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test with real parts that leaves a process, a shared memory segment, a file for a while or a port."""
    with leaks.watch() if _is_real(request.node) else contextlib.nullcontext():
        yield
