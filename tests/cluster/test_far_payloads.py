"""Large payloads on other hosts: what is equal crosses the network once per host, and no file stays."""

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.far_payloads import HOSTS, SIZE, TASKS


def test_an_equal_argument_comes_once_to_each_host_and_a_killed_worker_leaves_no_file(cluster: Cluster) -> None:
    """And once more, as nobody knows at first that it will come again. Results go the other way."""
    with Driver(cluster, "payloads", way="ssh") as driver:
        assert driver.hear("right") == TASKS
        came = driver.hear("came")
        assert len(HOSTS) * SIZE < came < (len(HOSTS) + 2) * SIZE
        assert driver.hear("lost") == [True, 1]
        assert not any(driver.hear("left"))
