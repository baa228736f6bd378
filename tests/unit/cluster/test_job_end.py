import os
import time
from pathlib import Path

import pytest

from rhapsody_parsl.cluster.job_end import job_end, seconds_of

NOW = time.mktime((2026, 11, 29, 15, 0, 0, 0, 0, -1))


def command(folder: Path, name: str, said: str, code: int = 0) -> None:
    """Put a command in front of all others that says so."""
    script = folder / name
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n")
    script.chmod(0o755)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def job_of_pbs(walltime: str, began: str) -> str:
    return f"Job Id: 7.vn0\n    job_state = R\n    Resource_List.walltime = {walltime}\n    {began}\n"


@pytest.mark.parametrize(("text", "seconds"), [
    ("00:10:00", 600), ("01:00:00", 3600), ("10:00", 600), ("1-00:00:30", 86_430), ("1:00:00:30", 86_430),
    ("90", 90), ("02:00:00.5", 7200),
])  # fmt: skip
def test_walltimes(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4:5", "-5", "01:00:00 h"])
def test_what_is_no_walltime(text: str) -> None:
    with pytest.raises(ValueError, match="is no walltime"):
        seconds_of(text)


def test_outside_a_job_only_the_providers_walltime_counts() -> None:
    assert job_end({}, NOW) is None
    assert job_end({}, NOW, 600.0) == NOW + 600


def test_slurm_says_it_in_the_environment(here: Path) -> None:
    command(here, "squeue", "nobody asks", 1)
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(NOW) + 90)}
    assert job_end(job, NOW, 600.0) == int(NOW) + 90


def test_an_older_slurm_is_asked(here: Path) -> None:
    command(here, "squeue", "2026-11-29T16:00:00")
    assert job_end({"SLURM_JOB_ID": "7"}, NOW) == NOW + 3600


@pytest.mark.parametrize("said", ["NONE", "", "2026-11-29T14:59:59"])
def test_what_slurm_cannot_say_the_provider_does(here: Path, said: str) -> None:
    command(here, "squeue", said)
    assert job_end({"SLURM_JOB_ID": "7"}, NOW, 600.0) == NOW + 600
    assert job_end({"SLURM_JOB_ID": "7"}, NOW) is None


@pytest.mark.parametrize("began", ["stime = Sun Nov 29 14:59:00 2026", "start_time = Sun Nov 29 14:59:00 2026"])
def test_pbs_and_torque_are_asked(here: Path, began: str) -> None:
    command(here, "qstat", job_of_pbs("01:00:00", began))
    assert job_end({"PBS_JOBID": "7.vn0"}, NOW, 600.0) == NOW + 3540


@pytest.mark.parametrize("said", [job_of_pbs("01:00:00", "comment = not yet"), "qstat: Unknown Job Id", ""])
def test_what_pbs_cannot_say_the_provider_does(here: Path, said: str) -> None:
    command(here, "qstat", said)
    assert job_end({"PBS_JOBID": "7.vn0"}, NOW, 600.0) == NOW + 600


def test_who_knows_better_is_heard_first(here: Path) -> None:
    command(here, "squeue", "2026-11-29T16:00:00")
    job = {"SLURM_JOB_ID": "7", "RHAPSODY_JOB_END": str(NOW + 60.5)}
    assert job_end(job, NOW) == NOW + 60.5
    assert job_end({**job, "RHAPSODY_JOB_END": "soon"}, NOW) == NOW + 3600
