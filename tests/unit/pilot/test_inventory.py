"""From hosts and what they say of themselves to the block's nodes."""

from typing import Any

from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.pilot.inventory import inventory_of, make_nodes
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.runtimes.protocol import Node
from testing.nodes import make_nodes as some_nodes


def facts(*cores: int, **more: Any) -> HostFacts:
    usual = {"address": "x", "memory": 64.0, "vendor": "", "gpus": [], "near": [], "domains": [list(cores)]}
    return HostFacts(**{**usual, "cores": list(cores), **more})


def made(listed: list[Listed], known: dict[str, HostFacts], **declared: Any) -> list[Node]:
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", **declared
    )
    return make_nodes(config, listed, known)


def test_hosts_may_differ_and_one_that_is_silent_is_left_out() -> None:
    listed = [Listed("a"), Listed("b", cores=1, memory=2.5, labels=("big",)), Listed("c")]
    a, b = made(listed, {"a": facts(4, 5), "b": facts(0, 1, 2)})
    assert (a.name, a.host, a.cores, a.real_cores, a.memory) == ("a", "a", (0, 1), (4, 5), 64.0)
    assert (b.name, b.cores, b.real_cores, b.memory, b.labels) == ("b", (0,), (0,), 2.5, ("big", "b"))


def test_the_first_hosts_nodes_say_that_they_are_of_it() -> None:
    a, b = made([Listed("a"), Listed("b")], {"a": facts(0), "b": facts(0)})
    assert (a.labels, b.labels) == (("first_host", "a"), ("b",))
    declared = made([Listed("a")], {"a": facts(0)}, nodes=2)
    assert [node.labels for node in declared] == [("first_host", "a#0"), ("first_host", "a#1")]


def test_a_share_of_a_host_is_the_cores_that_are_ours_and_as_many_gpus() -> None:
    gpus = {"vendor": "nvidia", "gpus": ["0", "1"], "near": [[4], [5]]}
    (a,) = made([Listed("a", cores=2, gpus=1, slots=(0, 2))], {"a": facts(4, 5, 6, **gpus)})
    assert (a.real_cores, a.gpus, a.near) == ((4, 6), ("0",), ((0,),))
    (bound,) = made([Listed("a", cores=1, slots=(2,))], {"a": facts(6)})
    assert bound.real_cores == (6,)
    (declared,) = made([Listed("a", gpus=1)], {"a": facts(4, **gpus)}, gpus_per_node=2)
    assert declared.gpus == ("0", "1")


def test_declared_cores_stand_on_real_ones_in_turn() -> None:
    (node,) = made([Listed("a")], {"a": facts(2, 3)}, cores_per_node=4, memory_per_node=3.5, gpus_per_node=2)
    assert node.real_cores == (2, 3, 2, 3)
    assert (node.memory, node.gpus, node.gpu_vendor) == (3.5, ("0", "1"), "nvidia")
    assert node.real([0, 2]) == (2,)
    assert node.domains == ((0, 1, 2, 3),)


def test_declared_nodes_are_all_the_first_host() -> None:
    nodes = made([Listed("a")], {"a": facts(0, 1)}, nodes=3, cores_per_node=2)
    assert [(node.name, node.host) for node in nodes] == [("a#0", "a"), ("a#1", "a"), ("a#2", "a")]
    assert [node.name for node in made([Listed("a")], {"a": facts(0)}, nodes=1)] == ["a"]


def test_what_is_near_a_gpu_is_told_in_the_ledgers_cores() -> None:
    known = facts(8, 9, 24, 25, vendor="amd", gpus=["0", "1"], near=[[24, 25], []], domains=[[8, 9], [24, 25]])
    (node,) = made([Listed("a")], {"a": known})
    assert node.near == ((2, 3), ())
    assert node.domains == ((0, 1), (2, 3))


def test_a_block_says_when_it_ends_and_how_long_it_has() -> None:
    ledger = Ledger(some_nodes(1))
    ends = inventory_of(ledger, ["local"], False, ends_at=1000.0, now=940.0)
    assert (ends.ends_at, ends.lasts) == (1000.0, 60.0)
    endless = inventory_of(ledger, ["local"], False, now=940.0)
    assert (endless.ends_at, endless.lasts) == (None, None)
