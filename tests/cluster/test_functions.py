"""Functions on every node of a block."""

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver


def report(line: str) -> None:
    print(line)  # noqa: T201 - figures are for people


@pytest.mark.parametrize("runtime", ["local", pytest.param("dragon", marks=pytest.mark.dragon)])
def test_a_core_of_each_node_for_each_function(cluster: Cluster, runtime: str) -> None:
    """Six functions at once on three nodes of two cores: each has a core of its own, by its real affinity mask.

    Tasks on the second host submit tasks to each. An agent on the third one is asked from both, and lost. Agents
    without cores are on all, and one on the third host hears of the block's end. On another host than the pilot's a
    killed worker costs no task that had not begun. One whose connection breaks is lost, and its task too.
    """
    with Driver(cluster, "functions", runtimes=[runtime], deadly=True) as driver:
        met = driver.hear("met")
        report(f"{runtime}: six functions together on three nodes {driver.hear('seconds')} s after submit")
        inside = [driver.hear("inside") for _ in range(2)]
        answers = driver.hear("agent")
        assert driver.hear("spread") == ["vn1", "vn2", "vn3"]
        assert driver.hear("notice") == "stopped at 0"
        lost = driver.hear("lost")
        assert driver.hear("cut") == "WorkerLost"
        assert driver.hear("next") == "vn2"
    assert sorted((host, *mask) for host, mask in met) == [(f"vn{n}", core) for n in (1, 2, 3) for core in (0, 1)]
    assert inside == 2 * [[[host, 300_000] for host in ("vn1", "vn2", "vn3")]]
    assert answers == [1, 2, 3, 300_000, 3, 5]
    assert lost[-1] == 50
    assert len(lost) < 50  # those before it whose results were on their way


@pytest.mark.dragon
@pytest.mark.parametrize(("span", "way"), [(0, "slurm"), (2, "slurm"), (0, "ssh")], ids=["all", "two and one", "ssh"])
def test_dragon_runtimes_over_several_nodes(cluster: Cluster, span: int, way: str) -> None:
    with Driver(cluster, "functions", runtimes=["dragon"], span=span, way=way) as driver:
        met = driver.hear("met")
        report(f"Dragon runtimes over {span or 3} nodes each, {way}: {driver.hear('seconds')} s")
        assert driver.hear("inside") == driver.hear("inside")
    assert sorted((host, *mask) for host, mask in met) == [(f"vn{n}", core) for n in (1, 2, 3) for core in (0, 1)]


def test_of_many_workers_few_start_at_once_on_each_host(cluster: Cluster) -> None:
    """Else a host that is busy with the starts of hundreds answers nobody, and is lost."""
    with Driver(cluster, "crowd", cores=30) as driver:
        found = driver.hear("started", 240)
        assert driver.hear("working", 90) == ["vn1", "vn2", "vn3"], "the pilot's host and those of node agents"
    for name in ("vn1", "vn2", "vn3"):
        starts = [(began, up) for host, began, up in found if host == name]
        assert len(starts) == 30
        assert max(sum(began <= moment < up for began, up in starts) for moment, _ in starts) < 15
