"""A file for each batch system: it loads, and its executor is as the site wants it."""

import runpy
from pathlib import Path
from typing import Any, get_args

import pytest
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl.doctor.config_file import check_file
from rhapsody_parsl.pythons import dragon_misfit
from rhapsody_parsl.site.facts import Queue, Site, System
from rhapsody_parsl.site.text import Wishes, config_text

HERE = not dragon_misfit()


def loaded(folder: Path, site: Site, **wishes: Any) -> Any:
    file = folder / "config.py"
    file.write_text(config_text(site, Wishes(dragon=HERE, **wishes)))
    (executor,) = runpy.run_path(str(file))["config"].executors
    return executor


def test_slurm_as_the_site_says(tmp_path: Path) -> None:
    queue = Queue(name="batch", nodes=130, cores=32, gpus=2, most=1800)
    executor = loaded(tmp_path, Site(system="slurm", queue=queue, accounts=("astro", "bio")), worker_init='echo "a\\b"')
    provider = executor.provider
    assert isinstance(provider, SlurmProvider)
    assert isinstance(provider.launcher, SimpleLauncher)
    assert (provider.account, provider.partition, provider.walltime) == ("astro", "batch", "00:30:00")
    assert (provider.nodes_per_block, provider.gpus_per_node) == (2, 2)
    assert provider.worker_init.strip() == 'echo "a\\b"'


def test_what_the_user_wants_counts(tmp_path: Path) -> None:
    site = Site(system="slurm", queue=Queue(name="one", nodes=1), accounts=("astro",))
    assert loaded(tmp_path, site).provider.nodes_per_block == 1
    site = Site(system="slurm", queue=Queue(name="one", nodes=8, largest=1), accounts=("astro",))
    assert loaded(tmp_path, site).provider.nodes_per_block == 1
    provider = loaded(tmp_path, site, account="bio", nodes=8, walltime=5400).provider
    assert (provider.account, provider.nodes_per_block, provider.walltime) == ("bio", 8, "01:30:00")


def test_pbs_as_the_site_says(tmp_path: Path) -> None:
    site = Site(system="pbs", queue=Queue(name="prod", cores=64, gpus=4, most=21_600))
    provider = loaded(tmp_path, site).provider
    assert (provider.cpus_per_node, provider.select_options, provider.walltime) == (64, "ngpus=4", "01:00:00")


def test_lsf_asks_for_whole_hosts_by_their_cores(tmp_path: Path) -> None:
    provider = loaded(tmp_path, Site(system="lsf", queue=Queue(name="normal", cores=48))).provider
    assert (provider.nodes_per_block, provider.bsub_redirection) == (2, True)
    assert provider.scheduler_options.split("#BSUB ")[1:] == ["-q normal\n", "-n 96\n", '-R "span[ptile=48]"\n']


def test_what_is_known_of_a_queue_is_told_beside_it() -> None:
    queue = Queue(name="batch", nodes=1300, largest=64, cores=32, gpus=2, most=5400)
    text = config_text(Site(system="slurm", queue=queue), Wishes())
    assert '"batch",  # 1,300 nodes, at most 64 for a job, at least 32 cores each, 2 GPUs each, 1.5 hours\n' in text


@pytest.mark.parametrize("system", ["pbs", "lsf"])
def test_doctor_finds_the_number_that_nobody_knew(tmp_path: Path, system: System) -> None:
    file = tmp_path / "config.py"
    for queue, mark in ((Queue(name="q"), "warning"), (Queue(name="q", cores=8), "ok")):
        file.write_text(config_text(Site(system=system, queue=queue), Wishes(dragon=HERE)))
        assert [finding.mark for finding in check_file(file)][-1] == mark


@pytest.mark.parametrize("system", get_args(System))
def test_doctor_accepts_it(tmp_path: Path, system: System) -> None:
    file = tmp_path / "config.py"
    file.write_text(config_text(Site(system=system), Wishes(dragon=HERE)))
    assert {finding.mark for finding in check_file(file)} <= {"ok", "warning"}


def test_without_dragon(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(config_text(Site(system="laptop"), Wishes(dragon=False)))
    (executor,) = runpy.run_path(str(file))["config"].executors
    assert [runtime.name for runtime in executor.runtimes] == ["local", "mpi"]
