"""What `doctor` finds: in versions, limits, jobs and files."""

import fcntl
import getpass
import json
import os
import resource
import socket
import tempfile
from pathlib import Path

import pytest

from rhapsody_parsl.cli.main import main
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.doctor import leavings, software, system
from rhapsody_parsl.doctor.batch import batch_system, job
from rhapsody_parsl.doctor.config_file import check_file
from rhapsody_parsl.doctor.finding import Finding, cleaned
from rhapsody_parsl.hosts import probe

HERE = socket.gethostname()


def test_versions_that_do_not_fit_and_what_is_missing() -> None:
    wanted = [
        "msgspec>=0.1", "psutil>=9000", "no-such-thing>=1", 'pyzmq<1; extra == "x"', 'nothing; extra == "x"',
        "rich>=9000; python_version < '3'", "parsl>=9000; python_version < '3' and extra == 'x'",
    ]  # fmt: skip
    found = {finding.what: finding for finding in software.versions_that_do_not_fit(wanted)}
    assert {what: finding.mark for what, finding in found.items()} == {
        "psutil": "problem", "no-such-thing": "problem", "pyzmq": "warning",
    }  # fmt: skip
    assert found["psutil"].remedy == "pip install 'psutil>=9000'"


def test_this_environment_fits() -> None:
    assert [(finding.what, finding.mark) for finding in software.installed()] == [("python", "ok"), ("packages", "ok")]


def test_low_limits_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    (files,) = (finding for finding in system.allowed() if finding.what == "open files")
    assert (files.mark, files.said) == ("warning", "1,024, raised up to 1,024 when a block needs more")


@pytest.mark.parametrize(("hosts", "said"), [
    ([Listed(HERE)], {}), ([Listed(HERE, cores=10_000)], {"cores": "warning"}),
    ([Listed("no-such-host-1.invalid")], {"this host": "problem"}),
])  # fmt: skip
def test_a_job_beside_what_this_process_sees(hosts: list[Listed], said: dict[str, str]) -> None:
    found = list(job(hosts, probe.facts({}), {}))
    assert found[0].what == "job"
    assert {finding.what: finding.mark for finding in found[1:]} == said


def test_a_list_of_hosts_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    found = list(batch_system({"RHAPSODY_HOSTFILE": str(tmp_path / "none")}))
    assert [finding.what for finding in found if finding.mark == "problem"] == ["job"]


@pytest.mark.parametrize(("text", "mark"), [("config = 1", "problem"), ("1 / 0", "problem"), ("", "problem")])
def test_a_file_without_an_executor(tmp_path: Path, text: str, mark: str) -> None:
    (tmp_path / "f.py").write_text(text)
    assert [finding.mark for finding in check_file(tmp_path / "f.py")] == [mark]


def test_what_the_dead_left_is_told_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, living = (tmp_path / f"rhapsody-{os.getuid()}-{name}" for name in ("dead", "living"))
    for folder in (dead, living):
        folder.mkdir(mode=0o700)
    (dead / "data").mkdir()
    (dead / "data" / "value").write_bytes(bytes(3_000_000))
    with (dead / "sparse").open("wb") as sparse:
        sparse.truncate(10**9)
    with (living / ".held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (found,) = leavings.left_behind()
        assert (found.mark, found.said) == ("warning", f"1 left, 3 MB: {dead.name}")
        assert [(finding.what, finding.said) for finding in leavings.removed()] == [("removed", "1 of 1, 3 MB")]
        assert (dead.exists(), living.exists()) == (False, True)
        assert [finding.mark for finding in leavings.left_behind()] == ["ok"]


def test_no_finding_names_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    finding = Finding(area="a", what="/home/ada/x.py", said="/home/ada/venv, /scratch/ada/run", remedy="/u/ada")
    assert cleaned(finding) == Finding(area="a", what="~/x.py", said="~/venv, /scratch/USER/run", remedy="/u/USER")


def test_the_command_tells_all_without_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--no-test", "--json"])
    areas = {finding["area"] for finding in json.loads(capsys.readouterr().out)}
    assert areas == {"software", "runtimes", "limits", "network", "batch system", "left by dead runs"}
    main(["doctor", "--no-test"])
    assert "open files" in capsys.readouterr().out


def test_inventory_is_what_a_block_would_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "--json"]) == 0
    (node,) = json.loads(capsys.readouterr().out)
    assert len(node["cores"]) == len(probe.our_cores())
    assert main(["inventory"]) == 0
    assert "in all: 1 nodes" in capsys.readouterr().out
