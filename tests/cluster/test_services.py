"""Services on other nodes: where their processes are, and what they are shown."""

from pathlib import Path

import psutil

from testing.fake_openai import COMMAND
from testing.processes import command_of, engine_folders
from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver


def hosts_of(cluster: Cluster, words: str, service: str) -> dict[str, list[int]]:
    """Return a service's processes whose command line begins so, on each host that has any, by the machine's number."""
    found = {
        name: [pid for pid, line in host.processes().items() if line.startswith(words) and _is_of(pid, service)]
        for name, host in cluster.hosts.items()
    }
    return {name: pids for name, pids in found.items() if pids}


def _is_of(pid: int, service: str) -> bool:
    """Whether a process that is above it was started for the service."""
    lines = [command_of(parent) for parent in psutil.Process(pid).parents()]
    return any(folder in line for folder in engine_folders(service) for line in lines)


def variable(pid: int, name: str) -> str | None:
    """Return a variable of the process' real environment."""
    words = (Path("/proc") / str(pid) / "environ").read_text().split("\0")
    return dict(word.partition("=")[::2] for word in words).get(name)


def test_replicas_and_functions_have_gpus_of_their_own_over_all_nodes(cluster: Cluster) -> None:
    with Driver(cluster, "leased_gpus") as driver:
        functions = [tuple(place) for place in driver.hear("functions")]
        servers = hosts_of(cluster, " ".join(COMMAND[:2]), "echo")
        replicas = [(host, variable(pid, "CUDA_VISIBLE_DEVICES")) for host, pids in servers.items() for pid in pids]
        (driver.folder / "go").touch()
    assert len(replicas) == 4
    assert sorted([*replicas, *functions]) == [(f"vn{n}", gpu) for n in (1, 2, 3) for gpu in ("0", "1")]
