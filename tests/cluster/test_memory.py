"""`memory=` over three nodes: what is held on any of them counts there."""

from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize(("way", "launcher"), [("slurm", "srun"), ("ssh", "hydra"), ("slurm", "openmpi")])
def test_what_takes_too_much_on_the_last_node_is_killed_alone(cluster: Cluster, way: str, launcher: str) -> None:
    with Driver(cluster, "greedy", way=way, mpi={"launcher": launcher}) as driver:
        for name in ("function", "executable"):
            kind, limit, peak, host = driver.hear(name)
            assert (kind, limit, host) == ("MemoryExceeded", 0.3, "vn3")
            assert 0.3 < peak < 1.2
            done: Any = driver.hear(f"modest {name}")
            assert done == (0.05e9 + 2000 if name == "function" else 0)
        assert "more than its memory=0.3 (GB)" in driver.hear("service")
        assert driver.hear("next") == "cba"
