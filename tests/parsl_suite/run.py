"""Run Parsl's own test suite under this package and under HighThroughputExecutor, and compare.

Fails when a test that passes under HighThroughputExecutor does not pass here.
Needs an environment with `requirements/parsl-suite.txt`; `make parsl-suite` makes it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import parsl

SUITE = Path(parsl.__file__).parent / "tests"
OURS = Path(__file__).with_name("config.py")
DEADLINE = 600


def run(config: Path, folder: Path) -> dict[str, str]:
    """Return the outcome of each test: passed, failed, error or skipped."""
    report = folder / f"{config.stem}.xml"
    (folder / "pytest.ini").write_text("[pytest]\n")  # else our own settings, which want a later pytest, are found
    words = ["pytest", "-c", str(folder / "pytest.ini"), "-p", "no:cacheprovider", "-q", f"--junitxml={report}"]
    command = [sys.executable, "-m", *words, "--config", str(config), str(SUITE)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False)
    print(f"{config.stem}: {(done.stdout or done.stderr).strip().splitlines()[-1]}", flush=True)  # noqa: T201 - output
    if not report.exists():
        raise SystemExit(done.stdout[-5000:] + done.stderr[-5000:])
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        test = f"{case.get('classname', '').partition('parsl.tests.')[2]}::{case.get('name')}"
        outcomes[f"{test} ({sum(known.startswith(test) for known in outcomes)})"] = outcome(case)
    return outcomes


def outcome(case: ElementTree.Element) -> str:
    """Return what a test case says of itself."""
    for kind in ("failure", "error", "skipped"):
        if case.find(kind) is not None:
            return kind
    return "passed"


def main() -> int:
    """Run both, print the comparison; the exit code is 1 when we lack something."""
    with tempfile.TemporaryDirectory() as folder:
        # away from our tests, whose conftest pytest would find by the path of the configuration
        ours = run(Path(shutil.copy(OURS, Path(folder, "rhapsody.py"))), Path(folder))
        theirs = run(SUITE / "configs" / "htex_local.py", Path(folder))
    lacking = sorted(test for test, how in theirs.items() if how == "passed" and ours.get(test) != "passed")
    for test in lacking:
        print(f"passes under HighThroughputExecutor only: {test}")  # noqa: T201 - a command's output
    passed = sum(how == "passed" for how in ours.values())
    print(f"{passed} passed, {len(lacking)} failed")  # noqa: T201 - a command's output
    return int(bool(lacking) or not passed)


if __name__ == "__main__":
    sys.exit(main())
