"""The supervisor of a shared job: what it starts where, and what it refuses."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rhapsody_parsl.hosts.share_supervisor import Order, ShareSupervisor, variables_of, write_whole
from testing.waiting import until


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[ShareSupervisor]:
    supervisor = ShareSupervisor(tmp_path)
    yield supervisor
    for number in range(9):
        (tmp_path / f"{number}.cancel").touch()
    until(lambda: not step(supervisor)._running, 15)


def order(folder: Path, number: int, command: str, unit: str = "cores", first: int = 0, count: int = 1) -> Path:
    script = folder / f"{number}.sh"
    share = first
    script.write_text(f". {variables_of(folder, share)}\n{command}\n")
    write_whole(folder / f"{number}.json", msgspec.json.encode(Order(share, str(script), unit, first, count)).decode())
    return script


def step(supervisor: ShareSupervisor) -> ShareSupervisor:
    supervisor.step()
    return supervisor


def answer(supervisor: ShareSupervisor, folder: Path, number: int) -> int:
    exit_ = folder / f"{number}.exit"
    until(lambda: f"{number}" not in step(supervisor)._running and exit_.exists(), 15)
    return int(exit_.read_text())


def test_a_share_is_pinned_to_its_cores(supervisor: ShareSupervisor, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    for first in range(min(2, len(cores))):
        script = order(tmp_path, first + 1, "taskset -pc $$; echo $PARSL_CORES", first=first)
        assert answer(supervisor, tmp_path, first + 1) == 0
        assert Path(f"{script}.out").read_text().split()[-2:] == [str(cores[first]), "1"]


def test_a_share_that_the_job_has_not_is_refused_with_a_sentence(supervisor: ShareSupervisor, tmp_path: Path) -> None:
    script = order(tmp_path, 1, "true", first=len(os.sched_getaffinity(0)))
    assert answer(supervisor, tmp_path, 1) == 1
    assert "declare smaller shares" in Path(f"{script}.err").read_text()


def test_cores_beyond_our_share_of_the_host_are_not_the_jobs(
    supervisor: ShareSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hosts := tmp_path / "hosts").write_text(f"{socket.gethostname()} slots=1\n")
    monkeypatch.setenv("RHAPSODY_HOSTFILE", str(hosts))
    script = order(tmp_path, 1, "true", count=2)
    assert answer(supervisor, tmp_path, 1) == 1
    assert "cores 1 to 2 of the job, which has 1 for us" in Path(f"{script}.err").read_text()


def test_commands_of_one_share_follow_each_other(supervisor: ShareSupervisor, tmp_path: Path) -> None:
    order(tmp_path, 1, "sleep 1003")
    order(tmp_path, 2, "true")
    step(supervisor)
    assert list(supervisor._running) == ["1"]
    (tmp_path / "1.cancel").touch()
    assert answer(supervisor, tmp_path, 2) == 0
    assert (tmp_path / "1.exit").exists()


def test_a_command_cancelled_before_it_starts_never_does(supervisor: ShareSupervisor, tmp_path: Path) -> None:
    script = order(tmp_path, 1, "echo started")
    (tmp_path / "1.cancel").touch()
    assert answer(supervisor, tmp_path, 1) == 0
    assert not Path(f"{script}.out").exists()


def test_a_share_of_nodes_sees_no_others(
    supervisor: ShareSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = socket.gethostname()
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{here} slots=2\nn2 slots=2\nn3\n")
    monkeypatch.setenv("RHAPSODY_HOSTFILE", str(hosts))
    monkeypatch.setenv("PBS_NODEFILE", str(hosts))
    script = order(tmp_path, 1, "cat $RHAPSODY_HOSTFILE; echo $RHAPSODY_NODES; cat $PBS_NODEFILE", "nodes", count=2)
    assert answer(supervisor, tmp_path, 1) == 0
    seen = Path(f"{script}.out").read_text().splitlines()
    assert seen == [f"{here} slots=2", "n2 slots=2", f"{here},n2", here, "n2"]
