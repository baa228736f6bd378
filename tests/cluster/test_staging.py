"""An environment that is on a shared file system runs from each host's own disk."""

import shutil
import venv
from pathlib import Path

import msgspec

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver

PACKAGES = ("msgspec", "zmq", "pyzmq.libs", "dill", "psutil")
"""What a block of plain workers needs: the whole environment would take a minute."""


def small_environment(folder: Path) -> Path:
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    there = Path(msgspec.__file__).parents[1]
    for package in (*PACKAGES, *(path.name for path in there.glob("rhapsody_parsl-*.dist-info"))):
        shutil.copytree(there / package, site / package)
    return folder


def test_all_processes_of_a_block_run_from_each_hosts_own_disk(cluster: Cluster) -> None:
    environment = small_environment(cluster.folder / "environment")
    with Driver(cluster, "staged", environment=str(environment)) as driver:
        found = driver.hear("places")
        assert sorted(path.name for path in driver.folder.rglob("environment.tar*")) == ["environment.tar"]
    passed_on = [places[-1:] == ["passed on"] and bool(places.pop()) for places in found]
    assert passed_on == [False, True, True], "the hosts have it from each other"
    private = {path.partition("/staged/")[0] for paths in found for path in paths}
    assert len(found) == 3
    assert len(private) == 1
    assert private.pop().startswith("/tmp/rhapsody-")  # noqa: S108 - looked at
