"""torch.distributed over three nodes: its rendezvous, a training, and a rank that dies."""

import os
import signal
from collections import Counter
from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver

pytestmark = pytest.mark.mpi


def test_ranks_on_three_nodes_train_together_and_a_killed_one_is_named(cluster: Cluster) -> None:
    pytest.importorskip("torch")
    with Driver(cluster, "training", mpi={"launcher": "hydra"}) as driver:
        for kind in ("function", "launch"):
            check_rendezvous(driver.hear(kind))
        assert driver.hear("trained")[0] == 3
        stop_launcher(cluster)
        (driver.folder / "go").touch()
        error, text, since = driver.hear("killed")
        assert error == "WorkerLost"
        assert "(rank 1 of 3 of 'endless')" in text
        assert since < 10


def stop_launcher(cluster: Cluster) -> None:
    """Stop the world's `mpiexec`, which kills the other ranks when it hears of one: nothing else dies then."""
    lines = cluster.hosts["vn1"].processes().items()
    (launcher,) = [pid for pid, line in lines if "mpiexec" in line and "world.rank" in line and "guard" not in line]
    os.kill(launcher, signal.SIGSTOP)


def check_rendezvous(said: list[list[Any]]) -> None:
    """Five ranks on three hosts of two cores: the first two hosts have two each."""
    said.sort()
    ranks = [[int(word) for word in line[:6]] for line in said]
    assert [line[:2] for line in ranks] == [[rank, 5] for rank in range(5)]
    hosts = list(dict.fromkeys(line[8] for line in said))
    sizes = Counter(line[8] for line in said)
    for line, (*_, address, port, host) in zip(ranks, said, strict=True):
        assert line[2:] == [line[0] % 2, sizes[host], hosts.index(host), hosts.index(host)]
        assert (address, port) == tuple(said[0][6:8])
        assert address != "127.0.0.1"
