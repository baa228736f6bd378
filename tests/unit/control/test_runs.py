"""Which executor a person means, and what is said when there is none."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from rhapsody_parsl.control.client import ask
from rhapsody_parsl.control.messages import Draining, View
from rhapsody_parsl.control.place import FILE, Place, read
from rhapsody_parsl.control.runs import find
from rhapsody_parsl.control.server import ControlServer
from rhapsody_parsl.errors import NoExecutor


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """Runs 1 with a, 2 with b and c, 10 with d; and 11, of which the executor is gone."""
    with ExitStack() as running:
        for run, label in (("001", "a"), ("002", "b"), ("002", "c"), ("010", "d"), ("011", "e")):
            folder = tmp_path / "runinfo" / run / label
            folder.mkdir(parents=True)
            server = ControlServer(folder, label, lambda _: Draining(blocks=()))
            server.start()
            if label == "e":
                left = read(folder)
                server.close()
                (folder / FILE).write_bytes(msgspec.json.encode(left))
            else:
                running.callback(server.close)
        (tmp_path / "runinfo" / "other").mkdir()
        yield tmp_path / "runinfo"


def test_the_newest_that_runs(runs: Path) -> None:
    assert find(None, runs=runs).folder == runs / "010" / "d"
    assert find(None, "a", runs=runs).folder == runs / "001" / "a"


@pytest.mark.parametrize("run", ["1", "001", "{runs}/001", "{runs}/001/a"])
def test_by_number_and_by_folder(runs: Path, run: str) -> None:
    assert find(run.format(runs=runs), runs=runs).place.label == "a"


def test_of_a_folder_of_runs_the_newest_that_runs(runs: Path, tmp_path: Path) -> None:
    assert find(str(runs), runs=tmp_path / "elsewhere").place.label == "d"


def test_of_several_in_a_run_one_is_named(runs: Path) -> None:
    with pytest.raises(NoExecutor, match=r"has 2 executors: b, c. Name one: --executor LABEL"):
        find("2", runs=runs)
    assert find("2", "c", runs=runs).place.label == "c"


@pytest.mark.parametrize(("run", "label", "said"), [
    ("11", None, "No executor of .*runinfo/011 is running"), ("7", None, "There is no run .*7. Runs are in"),
    ("1", "z", "No executor z of .*001 is running"),
    (None, "z", r"No running executor z is found below .*\(runs there: 4"),
])  # fmt: skip
def test_what_to_do_where_none_is_found(runs: Path, run: str | None, label: str | None, said: str) -> None:
    with pytest.raises(NoExecutor, match=said):
        find(run, label, runs)


def test_one_on_another_host_says_where_it_is(tmp_path: Path) -> None:
    place = Place(label="x", host="elsewhere", pid=1, socket=str(tmp_path / "s"))
    (tmp_path / "000" / "x").mkdir(parents=True)
    (tmp_path / "000" / "x" / FILE).write_bytes(msgspec.json.encode(place))
    found = find(None, runs=tmp_path)
    with pytest.raises(NoExecutor, match=r"on elsewhere.* runs on another host than this. Run this command there: ssh"):
        ask(found.place, View())


def test_one_that_hung_up_or_is_gone(tmp_path: Path) -> None:
    place = Place(label="x", host=socket.gethostname(), pid=os.getpid(), socket=str(tmp_path / "s"))
    with pytest.raises(NoExecutor, match="is gone"):
        ask(place, View())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(place.socket)
    with pytest.raises(NoExecutor, match="is gone"):
        ask(place, View())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may ask everybody")
def test_another_users_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    place = Place(label="x", host=socket.gethostname(), pid=1, socket=str(tmp_path / "s"))
    with pytest.raises(NoExecutor, match="another user's"):
        ask(place, View())
    tmp_path.chmod(0o700)


def test_what_is_no_announcement_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    assert read(tmp_path) is None
