"""What batch systems say of their queues, as they say it."""

import json
from pathlib import Path

import pytest

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.site.facts import Queue, ask, detected, lsf_queues, pbs_queues, seconds, slurm_queues

SINFO = """debug|4|64|(null)|30:00
batch*|128|64|gpu:a100:4(S:0-3)|1-00:00:00
batch*|2|32+|gpu:2,tmpdisk:5|1-00:00:00
long|1|8|(null)|infinite
"""
QSTAT = {"Queue": {
    "prod": {"queue_type": "Execution", "enabled": "True", "resources_max": {"walltime": "06:00:00"}},
    "route": {"queue_type": "Route", "enabled": "True"}, "off": {"queue_type": "Execution", "enabled": "False"},
}}  # fmt: skip
PBSNODES = {
    "nodes": {"a": {"resources_available": {"ncpus": 104}}, "b": {"resources_available": {"ncpus": 64}}, "c": {}}
}


def program(folder: Path, name: str, text: str, status: int = 0) -> None:
    """Have a command that says so."""
    (folder / f"{name}.out").write_text(text)
    file = folder / name
    file.write_text(f"#!/bin/sh\n/bin/cat {folder / name}.out\necho 'cannot reach it' >&2\nexit {status}\n")
    file.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_slurms_partitions_with_the_least_of_their_nodes() -> None:
    assert slurm_queues(SINFO) == [
        Queue(name="debug", nodes=4, cores=64, most=1800),
        Queue(name="batch", default=True, nodes=130, cores=32, gpus=2, most=86_400),
        Queue(name="long", nodes=1, cores=8),
    ]


def test_pbss_queues_that_run_jobs() -> None:
    assert pbs_queues(json.dumps(QSTAT), json.dumps(PBSNODES)) == [Queue(name="prod", cores=64, most=21_600)]


def test_lsfs_open_queues() -> None:
    assert [queue.name for queue in lsf_queues("normal Open:Active\nold Closed:Active\n")] == ["normal"]


@pytest.mark.parametrize(("text", "expected"), [
    ("1-02:03:04", 93_784), ("02:03:04", 7384), ("30:00", 1800), ("30", 1800), ("infinite", 0), ("", 0),
])  # fmt: skip
def test_limits_of_time(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_a_site_with_slurm(commands: Path) -> None:
    assert detected() == "laptop"
    for name, text in (("sbatch", ""), ("sinfo", SINFO), ("sacctmgr", "astro\nbio\nastro\n")):
        program(commands, name, text)
    assert detected() == "slurm"
    site = ask("slurm")
    assert (site.queue and site.queue.name, site.accounts, site.complaints) == ("batch", ("astro", "bio"), ())
    assert ask("slurm", "debug").queue == slurm_queues(SINFO)[0]
    with pytest.raises(RhapsodyError, match=r"There is no queue debugg: debug, batch, long. Did you mean 'debug'"):
        ask("slurm", "debugg")


def test_what_a_batch_system_does_not_say_is_told(commands: Path) -> None:
    program(commands, "sinfo", "", status=1)
    program(commands, "sacctmgr", "astro\n")
    site = ask("slurm", "mine")
    assert (site.queue, site.accounts, site.complaints) == (Queue(name="mine"), ("astro",), ("cannot reach it",))
    assert "qstat" in ask("pbs").complaints[0]
    assert ask("laptop").complaints == ()
