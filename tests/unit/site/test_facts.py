"""What batch systems say of their queues, as they say it."""

from pathlib import Path

import pytest

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.site.facts import Queue, ask, lsf_queues, pbs_queues, seconds, slurm_queues, there_are

SINFO = """debug|up|4|1-2|64|(null)|30:00
batch*|up|128|1-infinite|64|gpu:a100:4(S:0-3)|1-00:00:00
batch*|up|2|1-infinite|32+|gpu:2,tmpdisk:5|1-00:00:00
long|up|1|1|8|(null)|infinite
mended|drain|900|1-infinite|8|(null)|infinite
"""
SERVER = {"Server": {"head": {"default_queue": "route", "total_jobs": 3}}}
QSTAT = {"Queue": {
    "prod": {"queue_type": "Execution", "enabled": "True", "resources_max": {"walltime": "06:00:00"}},
    "route": {"queue_type": "Route", "enabled": "True"}, "off": {"queue_type": "Execution", "enabled": "False"},
    "small": {"queue_type": "Execution", "enabled": "True", "from_route_only": "True"},
}}  # fmt: skip
PBSNODES = {"nodes": {
    "a": {"resources_available": {"ncpus": 104, "ngpus": 6}}, "b": {"resources_available": {"ncpus": 64, "ngpus": 4}},
    "c": {},
}}  # fmt: skip
BPARAMS = "Default Queues:  normal short\nMBD_SLEEP_TIME used for calculations:  10 seconds\n"


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
        Queue(name="debug", nodes=4, largest=2, cores=64, most=1800),
        Queue(name="batch", default=True, nodes=130, cores=32, gpus=2, most=86_400),
        Queue(name="long", nodes=1, largest=1, cores=8),
    ]


def test_pbss_queues_that_users_name() -> None:
    assert pbs_queues(SERVER, QSTAT, PBSNODES) == [
        Queue(name="prod", cores=64, gpus=4, most=21_600),
        Queue(name="route", default=True, cores=64, gpus=4),
    ]
    some = {"nodes": {"plain": {"resources_available": {"ncpus": 8}}, **PBSNODES["nodes"]}}
    assert pbs_queues({}, QSTAT, some)[0] == Queue(name="prod", cores=8, most=21_600)


def test_lsfs_open_queues() -> None:
    assert lsf_queues("owners Open:Active\nold Closed:Active\nnormal Open:Active\n", BPARAMS, "64\n-\n48\n") == [
        Queue(name="owners", cores=48),
        Queue(name="normal", default=True, cores=48),
    ]
    assert lsf_queues("normal Open:Active\n", "", "") == [Queue(name="normal")]


@pytest.mark.parametrize(("text", "expected"), [
    ("1-02:03:04", 93_784), ("02:03:04", 7384), ("30:00", 1800), ("30", 1800), ("infinite", 0), ("", 0),
])  # fmt: skip
def test_limits_of_time(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_a_site_with_slurm(commands: Path) -> None:
    assert there_are() == []
    for name, text in (("sbatch", ""), ("sinfo", SINFO), ("sacctmgr", "astro\nbio\nastro\n")):
        program(commands, name, text)
    assert there_are() == ["slurm"]
    site = ask("slurm")
    assert (site.queue and site.queue.name, site.accounts, site.complaints) == ("batch", ("astro", "bio"), ())
    assert site.queues == ("debug", "batch", "long")
    assert ask("slurm", "debug").queue == slurm_queues(SINFO)[0]
    with pytest.raises(RhapsodyError, match=r"There is no queue debugg: debug, batch, long. Did you mean 'debug'"):
        ask("slurm", "debugg")


def test_what_a_batch_system_does_not_say_is_told(commands: Path) -> None:
    program(commands, "sinfo", "", status=1)
    program(commands, "sacctmgr", "astro\n")
    site = ask("slurm", "mine")
    assert (site.queue, site.accounts, site.complaints) == (Queue(name="mine"), ("astro",), ("cannot reach it",))
    assert ask("pbs").complaints == ("there is no command qstat here",)
    assert ask("laptop").complaints == ()


def test_no_queue_is_better_than_any(commands: Path) -> None:
    for name, text in (("bqueues", "owners Open:Active\nnight Open:Active\n"), ("bparams", ""), ("bhosts", "")):
        program(commands, name, text)
    assert (ask("lsf").queue, ask("lsf").queues) == (None, ("owners", "night"))
    program(commands, "bparams", "Default Queues:  night\n")
    assert ask("lsf").queue == Queue(name="night", default=True)
