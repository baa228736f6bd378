"""Where an `AllocationProvider` can stand."""

from pathlib import Path

import pytest

from rhapsody_parsl import AllocationProvider
from rhapsody_parsl.cluster.batch import NoAllocation, allocated
from rhapsody_parsl.errors import InvalidTask

VARIABLES = (
    "RHAPSODY_HOSTFILE", "SLURM_JOB_NODELIST", "PBS_NODEFILE", "LSB_MCPU_HOSTS", "LSB_DJOB_HOSTFILE", "FLUX_URI",
)  # fmt: skip


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_outside_an_allocation_it_is_refused_with_the_variables() -> None:
    with pytest.raises(NoAllocation) as caught:
        AllocationProvider()
    assert all(name in str(caught.value) for name in VARIABLES)


def test_the_block_is_as_large_as_the_allocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nodes"
    file.write_text("n1\nn1\nn2\n")
    monkeypatch.setenv("PBS_NODEFILE", str(file))
    provider = AllocationProvider(worker_init="module load x")
    assert (provider.nodes_per_block, provider.init_blocks, provider.max_blocks) == (2, 1, 1)
    assert "worker_init='module load x'" in repr(provider)
    with pytest.raises(InvalidTask, match="text is needed"):
        AllocationProvider(worker_init=3)  # type: ignore[arg-type]  # what is tested


def test_a_host_we_do_not_stand_on_is_listed_too() -> None:
    assert [host.name for host in allocated({"LSB_MCPU_HOSTS": "a 4 b 8"})] == ["a", "b"]
    assert allocated({}) == []
