"""A test that failed gets a second try in CI; it begins as the first one did."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[[str], pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a module under our hooks, with second tries."""
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())

    def run(module: str) -> pytest.RunResult:
        (pytester.mkdir("of_some_kind") / "test_it.py").write_text(module)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--reruns", "1")

    return run


def test_the_summary_says_why_it_was_needed(run: Run) -> None:
    result = run(
        "tries = []\ndef test_once():\n    tries.append(1)\n    assert len(tries) == 2, 'the first never works'\n"
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*first try of of_some_kind/test_it.py::test_once (call)*", "*the first never works*"])


def test_it_has_a_deadline_of_its_own(run: Run) -> None:
    """The first one's ends with its failure: a second try that hung would hang all."""
    result = run("""
import time, pytest
tries = []
@pytest.mark.timeout(1)
def test_hangs():
    tries.append(1)
    time.sleep(0.7 if len(tries) == 1 else 10)
    assert len(tries) == 2, "the first never works"
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout (>1*"])


FIXTURES = """
import pytest
folders = []
def fail_once(where):
    assert len(folders) > 1 or where != "{where}", "it fails " + where
@pytest.fixture(scope="session")
def folder():
    folders.append(set())
    return folders[-1]
@pytest.fixture(scope="module")
def block(folder):
    assert not folder, "its name is taken"
    folder.add("block")
    fail_once("in a wide fixture")
    yield folder
    assert len(folders) > 1, "its end finds what the first try did"
@pytest.fixture
def narrow(block):
    fail_once("at its beginning")
    yield
    fail_once("at its end")
def test_once(narrow):
    fail_once("in its body")
"""


@pytest.mark.parametrize("where", ["in a wide fixture", "at its beginning", "in its body", "at its end"])
@pytest.mark.parametrize("after", ["", "def test_another(block): pass"], ids=["last", "in the middle"])
def test_it_has_wide_fixtures_of_its_own(run: Run, where: str, after: str) -> None:
    """What the first one did to its module's block, or left in its session's folder, is no matter."""
    result = run(FIXTURES.format(where=where) + after)
    assert result.ret == pytest.ExitCode.OK  # a try that fails at its end counts as passed, too
    result.stdout.fnmatch_lines([f"*it fails {where}*"])
