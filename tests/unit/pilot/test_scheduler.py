from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.scheduler import can_ever_fit, place, reserve, why_never
from testing.nodes import make_node, make_nodes, make_spec


def ranks_of(ledger: Ledger, **keys: Any) -> dict[str, int]:
    placing = place(make_spec(runtime="mpi", **keys), ledger)
    assert placing is not None
    assert ledger.acquire("gang", placing) is not None
    return {name: part.ranks for name, part in placing}


def where(ledger: Ledger, near: str = "", **keys: Any) -> str | None:
    placing = place(make_spec(**keys), ledger, near=near)
    if placing is None:
        return None
    assert ledger.acquire("task", placing) is not None
    return placing[0][0]


@st.composite
def specs(draw: st.DrawFn) -> TaskSpec:
    policy: dict[str, Any] = {"placement": draw(st.sampled_from(["pack", "spread", "exclusive"]))}
    if draw(st.booleans()):
        gpus = draw(st.sampled_from([0, 0.25, 0.5, 1, 2]))
        return make_spec(cores=draw(st.integers(0, 5)), gpus=gpus, memory=draw(st.integers(0, 70)), **policy)
    gang: dict[str, Any] = {"cores_per_rank": draw(st.integers(1, 3))}
    shape = draw(st.integers(0, 3))
    if shape in (0, 2):
        gang["num_nodes"] = draw(st.integers(1, 4))
    if shape in (1, 2):
        gang["ranks_per_node"] = draw(st.integers(1, 4))
    if shape == 3:
        gang["num_ranks"] = draw(st.integers(1, 12))
    if draw(st.booleans()):
        gang["gpus_per_rank"] = draw(st.sampled_from([0.25, 0.5, 1]))
    return make_spec(runtime="mpi", memory=draw(st.integers(0, 70)), **gang, **policy)


blocks = st.lists(
    st.builds(lambda cores, gpus: (cores, gpus), st.integers(1, 6), st.integers(0, 2)), min_size=1, max_size=4
).map(lambda counts: [make_node(f"n{i}", cores, gpus) for i, (cores, gpus) in enumerate(counts)])


@given(blocks, st.lists(specs(), max_size=12), st.integers(0, 2))
def test_a_placing_can_be_leased_and_what_fits_now_fits_ever(nodes: Any, tasks: list[TaskSpec], service: int) -> None:
    ledger = Ledger(nodes)
    ledger.acquire("service", [("n0", Part(min(service, len(nodes[0].cores)), memory=3.0 * service))], permanent=True)
    for spec in tasks:
        placing = place(spec, ledger)
        if placing is None:
            continue
        assert can_ever_fit(spec, ledger)
        assert ledger.acquire("task", placing) is not None, f"{spec} was placed on {placing}, which is not free"
        if spec.resources.num_ranks:
            assert sum(part.ranks for _, part in placing) == spec.resources.num_ranks
        if spec.resources.num_nodes:
            assert len(placing) == spec.resources.num_nodes


@given(blocks, st.lists(specs(), max_size=8), specs())
def test_what_can_ever_fit_fits_once_all_is_returned(nodes: Any, tasks: list[TaskSpec], last: TaskSpec) -> None:
    ledger = Ledger(nodes)
    for spec in tasks:
        placing = place(spec, ledger)
        if placing is not None:
            ledger.acquire("task", placing)
    possible = can_ever_fit(last, ledger)
    for lease in ledger.leases:
        ledger.release(lease)
    placing = place(last, ledger)
    assert (placing is not None) == possible
    if placing is not None:
        assert ledger.acquire("last", placing) is not None
    else:
        assert why_never(last, ledger)


@given(blocks, st.lists(specs(), max_size=8), specs())
def test_reserved_nodes_are_enough_and_none_too_many(nodes: Any, tasks: list[TaskSpec], gang: TaskSpec) -> None:
    ledger = Ledger(nodes)
    for spec in tasks:
        placing = place(spec, ledger)
        if placing is not None:
            ledger.acquire("task", placing)
    kept = {account.node.name for account in reserve(Demand(gang), ledger)}
    best = ledger.at_best()
    assert bool(kept) == can_ever_fit(gang, ledger)
    if kept:
        best.keep(best.accounts[name] for name in set(best.accounts) - kept)
        assert place(gang, best, rooms=[best.open.room(Demand(gang))]) is not None


def test_pack_fills_and_spread_takes_the_emptiest() -> None:
    ledger = Ledger(make_nodes(2, cores=2))
    assert [where(ledger) for _ in range(3)] == ["n0", "n0", "n1"]
    ledger = Ledger(make_nodes(2, cores=2))
    assert sorted(str(where(ledger, placement="spread")) for _ in range(2)) == ["n0", "n1"]


def test_exclusive_takes_a_whole_untouched_node() -> None:
    ledger = Ledger(make_nodes(2, cores=4, gpus=1))
    where(ledger)
    assert where(ledger, placement="exclusive") == "n1"
    assert ledger.accounts["n1"].free_cores == 0
    assert where(ledger, placement="exclusive") is None
    assert where(ledger) == "n0"


@pytest.mark.parametrize("placement", ["exclusive", "pack"])
def test_an_exclusive_node_holds_no_memory_of_others(placement: str) -> None:
    ledger = Ledger(make_nodes(1))
    ledger.acquire("service of no core", [("n0", Part(0, memory=8.0))], permanent=True)
    spec = make_spec(placement=placement)
    placing = place(spec, ledger)
    assert can_ever_fit(spec, ledger) == (placement == "pack")
    assert (placing is not None) == (placement == "pack")


def test_near_goes_to_its_node_while_that_has_room() -> None:
    ledger = Ledger(make_nodes(3, cores=1))
    assert where(ledger, near="n1") == "n1"
    assert where(ledger, near="n1") != "n1"


def test_labels_choose_nodes() -> None:
    ledger = Ledger([make_node("plain"), make_node("big", labels=("bigmem", "ssd"))])
    assert where(ledger, labels=["ssd"]) == "big"
    assert "no node carries" in why_never(make_spec(labels=["tape"]), ledger)


def test_a_gang_of_nodes_takes_whole_nodes_with_a_rank_a_core() -> None:
    assert ranks_of(Ledger(make_nodes(3, cores=4)), num_nodes=2) == {"n0": 4, "n1": 4}
    assert ranks_of(Ledger(make_nodes(1, cores=5)), num_nodes=1, cores_per_rank=2) == {"n0": 2}


def test_ranks_stand_on_as_few_nodes_as_possible() -> None:
    nodes = [make_node("small", 2), make_node("middle", 4), make_node("big", 8)]
    assert ranks_of(Ledger(nodes), num_ranks=4) == {"middle": 4}
    assert ranks_of(Ledger(nodes), num_ranks=10) == {"big": 8, "middle": 2}
    assert ranks_of(Ledger(nodes), num_ranks=6, placement="spread") == {"big": 2, "middle": 2, "small": 2}


def test_gpus_limit_ranks() -> None:
    ledger = Ledger(make_nodes(2, cores=8, gpus=2))
    assert ranks_of(ledger, num_ranks=4, gpus_per_rank=1) == {"n0": 2, "n1": 2}
    assert place(make_spec(runtime="mpi", num_ranks=1, gpus_per_rank=0.5), ledger) is None


def test_a_closed_node_is_not_used() -> None:
    ledger = Ledger(make_nodes(2))
    ledger.keep([ledger.accounts["n0"]])
    placing = place(make_spec(), ledger, rooms=[ledger.open.room(Demand(make_spec()))])
    assert placing is not None
    assert placing[0][0] == "n1"


def test_why_never_says_what_is_asked_and_what_is_there() -> None:
    ledger = Ledger(make_nodes(2, cores=4))
    assert why_never(make_spec(cores=9), ledger) == (
        "it asks 9 cores, 0 GPUs and 0 GB of one node; the largest node offers tasks 4 cores, 0 GPUs and 64 GB"
    )
    assert "8 cores in all" in why_never(make_spec(runtime="mpi", num_ranks=9), ledger)


def test_why_never_counts_no_gpu_that_a_service_holds() -> None:
    ledger = Ledger(make_nodes(1, cores=4, gpus=2))
    ledger.acquire("service", [("n0", Part(1, 1.0, 1.0))], permanent=True)
    assert place(make_spec(gpus=1), ledger) is not None
    assert "the largest node offers tasks 3 cores, 1 GPUs and" in why_never(make_spec(gpus=2), ledger)
