"""What a runtime gets from the block."""

from pathlib import Path
from typing import cast

import pytest

from rhapsody_parsl.errors import RuntimeUnavailable
from rhapsody_parsl.runtimes.protocol import Context, Events, Node


def context(*hosts: str) -> Context:
    nodes = {f"n{i}": Node(f"n{i}", host, (0,), (0,)) for i, host in enumerate(hosts)}
    return Context(nodes, "n0", Path(), Path(), "python", {}, cast("Events", None))


def test_a_block_of_several_hosts_is_refused_with_the_remedy() -> None:
    context("here", "here").need_one_host("dragon")
    with pytest.raises(RuntimeUnavailable, match=r"dragon runtime .* has 2 hosts, .* nodes_per_block=1"):
        context("here", "there").need_one_host("dragon")
