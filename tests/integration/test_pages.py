"""The examples of the user's pages run, in one block with Dragon, MPI and a stand-in for a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testing import leaks
from testing.pages import PAGES, ROOT, examples, named, promised

pytestmark = [pytest.mark.dragon, pytest.mark.mpi]

ELSEWHERE = {
    "README.md": "it is examples/first_script.py, which runs below",
    "CONTRIBUTING.md": "it is about a class of the reader's: tests/unit/test_docs.py gives it one",
    "docs/runtimes/add_a_runtime.md": "it is examples/add_a_runtime.py, which has tests of its own",
    "docs/scheduling.md": "it is examples/order, which runs below",
    "docs/front_door.md": "it needs a model that streams: tests/integration/test_front_door.py has one",
    "docs/globus_compute.md": "it needs an endpoint: tests/unit/test_docs.py makes all of it but that",
}
NAMES = [named(page) for page in PAGES if examples(page) and named(page) not in ELSEWHERE]
RUNNER = "from tests.integration.page_runner import main; main()"
TIMEOUT = 120


def script(*command: str, folder: Path) -> str:
    line = [sys.executable, *command]
    done = subprocess.run(line, check=False, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], str]]:
    folder = tmp_path_factory.mktemp("pages")
    with leaks.watch():
        said = script("-c", RUNNER, str(folder), *NAMES, folder=folder)
    lines = [json.loads(line) for line in said.splitlines()]
    return {name: (printed, problem) for name, printed, problem in lines}


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_page_run(name: str, ran: dict[str, tuple[list[str], str]]) -> None:
    printed, problem = ran[name]
    assert not problem, problem
    assert printed == promised(ROOT / name)


def test_the_life_of_a_service(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "service_life.py"), folder=tmp_path)
    assert said.splitlines() == [
        "read: True", "scaled: 2", "stopped: a task with all cores", "started: ready True", "read again: True"
    ]  # fmt: skip


def test_the_first_script_runs(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "first_script.py"), folder=tmp_path)
    assert said.split("\n")[-2] == f"{[x * x for x in range(10)]} 285 0"
    assert (tmp_path / "hello.txt").read_text().count("Hello, World!") == 2
    assert os.listdir(tmp_path / "runinfo") == ["000"]


def test_the_training_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = script(str(ROOT / "examples" / "training.py"), folder=tmp_path)
    assert said.split("\n")[-2] == "2 ranks found y = 2.0 x + 1.0"


def test_the_search_from_inside_the_block(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "inside.py"), folder=tmp_path)
    assert said.split("\n")[-2] == "3.000"


def test_the_agent_with_a_mailbox(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "mailbox_agent.py"), folder=tmp_path)
    assert said.split("\n")[-2] == "40 points tried, the best at 3.0"


def test_the_state_that_stays_in_the_block(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "references.py"), folder=tmp_path)
    assert [line.split(",")[0] for line in said.splitlines()] == ["<Ref 3", "mean 0.50"]


def test_the_async_apps_run(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "async_apps.py"), folder=tmp_path)
    assert said.split("\n")[-2] == "[0, 1, 4, 9, 16, 25, 36, 49]"


def test_the_order_of_ones_own_runs(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "order" / "campaign.py"), folder=tmp_path)
    assert said.splitlines() == [*examples(ROOT / "docs" / "scheduling.md", "text")[1].splitlines()]


def test_the_streams_run(tmp_path: Path) -> None:
    said = script(str(ROOT / "examples" / "streams.py"), folder=tmp_path)
    assert said.splitlines()[-4:] == [
        "stopped at 5 with result None", "farthest: [9, 10, 18, 10]", "a callback heard the last place: True",
        "cancelled: True CancelledError",
    ]  # fmt: skip
