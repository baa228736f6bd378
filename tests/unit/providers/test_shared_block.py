"""How a block is divided."""

from typing import Any

import pytest
from parsl.launchers import SimpleLauncher, SrunLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, SharedBlock
from rhapsody_parsl.errors import InvalidTask


def block(nodes: int = 1, **options: Any) -> SharedBlock:
    provider: Any = LocalProvider(nodes_per_block=nodes, launcher=SimpleLauncher(), **options)
    return SharedBlock(provider)


def test_shares_of_cores_follow_each_other() -> None:
    divided = block()
    one, other = divided.share(cores=2), divided.share(cores=3, init_blocks=0)
    assert [(share.unit, share.first, share.count) for share in (one, other)] == [("cores", 0, 2), ("cores", 2, 3)]
    assert (one.cores_per_node, one.nodes_per_block, one.max_blocks, other.init_blocks) == (2, 1, 1, 0)
    assert one.label == "shared_local"
    assert RhapsodyExecutor(runtimes=[LocalRuntime()], provider=one).provider is one
    assert "cores" in repr(one)


def test_a_block_of_several_nodes_is_divided_by_nodes() -> None:
    divided = block(3)
    assert divided.share(nodes=2).nodes_per_block == 2
    with pytest.raises(InvalidTask, match="2 of the block's 3 nodes"):
        divided.share(nodes=2)


@pytest.mark.parametrize(("nodes", "wish"), [
    (1, {}), (1, {"nodes": 1}), (3, {"cores": 2}), (3, {"cores": 2, "nodes": 1}),
])  # fmt: skip
def test_what_cannot_be_divided_so_is_refused(nodes: int, wish: dict[str, int]) -> None:
    with pytest.raises(InvalidTask, match="divided by"):
        block(nodes).share(**wish)


@pytest.mark.parametrize(("cores", "problem"), [(0, "1 or more"), (10**300, "100000 at most"), ("2", "a whole number")])
def test_a_share_is_a_number_of_cores(cores: Any, problem: str) -> None:
    with pytest.raises(InvalidTask, match=f"cores=.*{problem}"):
        block().share(cores=cores)


def test_a_launcher_that_starts_one_process_a_node_is_refused() -> None:
    provider: Any = LocalProvider(nodes_per_block=2, launcher=SrunLauncher())
    with pytest.raises(InvalidTask, match="SimpleLauncher"):
        SharedBlock(provider)


def test_types_are_checked() -> None:
    with pytest.raises(InvalidTask, match="an object of ExecutionProvider is needed"):
        SharedBlock("slurm")  # type: ignore[arg-type]  # what is tested
