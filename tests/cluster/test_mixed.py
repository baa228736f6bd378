"""Everything at once in one block of three nodes."""

from collections import defaultdict
from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver

pytestmark = [pytest.mark.dragon, pytest.mark.mpi]


def check_apart(met: dict[str, Any]) -> None:
    """On each node the function's core and the rank's, by their real affinity masks, differ."""
    masks = defaultdict(list)
    for host, mask in [*met["pinned"], *met["gang"]]:
        masks[host].append(mask)
    assert len(masks) == 3
    assert all(sorted(both) == [[0], [1]] for both in masks.values()), masks


@pytest.mark.parametrize("way", ["slurm", "ssh"])
def test_functions_gangs_and_a_service_share_a_block(cluster: Cluster, way: str) -> None:
    with Driver(cluster, "mixed", way=way) as driver:
        check_apart(driver.hear("function"))
        check_apart(driver.hear("executable"))
        host, url, answer = driver.hear("service")
        assert (host, answer) == ("vn3", "olleh")
        assert url.startswith("http://vn2:")
        host, url, knows = driver.hear("web")
        assert (host, knows) == ("vn3", True)
        assert url.startswith("http://vn2:")
        assert driver.hear("request") == "hello"
