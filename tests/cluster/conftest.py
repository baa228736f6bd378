"""One virtual cluster for all tests of this folder; each test must leave its hosts as it found them."""

import shutil
from collections.abc import Iterator

import pytest

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings

_NODES = 3


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[Cluster]:
    if not shutil.which("slurmd"):
        pytest.fail("the virtual cluster needs Slurm; `make test-cluster` installs it", pytrace=False)
    with Cluster(Settings(nodes=_NODES)) as cluster:
        yield cluster


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, all nodes in order; nothing of ours may be left on it."""
    yield whole_cluster
    whole_cluster.wait_clean()
