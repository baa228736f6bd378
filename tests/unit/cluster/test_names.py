"""Which names are one host's."""

import pytest

from rhapsody_parsl.cluster.names import is_host, our_names, ours


@pytest.mark.parametrize(("one", "other", "same"), [
    ("n1", "n1.site.org", True), ("N1.site", "n1", True), ("n1", "n11", False), ("n1.a", "n1.b", True),
    ("10.0.0.5", "10.0.0.6", False), ("10.0.0.5", "10.0.0.5", True), ("10.0.0.5", "10", False),
    ("fe80::1", "fe80:0::1", True), ("fe80::1", "fe80::2", False), ("[fe80::1]", "fe80::1", True),
])  # fmt: skip
def test_addresses_are_whole_and_names_short(one: str, other: str, same: bool) -> None:
    assert is_host(one, other) == is_host(other, one) == same


def test_the_batch_systems_name_counts_first() -> None:
    names = our_names({"SLURMD_NODENAME": "node7"}, "ip-10-0-0-7")
    assert names == ["node7", "ip-10-0-0-7"]
    assert ours(["ip-10-0-0-7", "node7.site"], names) == ["node7.site"]
    assert ours(["ip-10-0-0-7", "other"], names) == ["ip-10-0-0-7"]
    assert our_names({}, "here") == ["here"]


def test_an_address_of_this_host_is_known_by_its_network() -> None:
    assert ours(["203.0.113.1", "127.0.0.1", "other"], ["here"]) == ["127.0.0.1"]
    assert ours(["203.0.113.1", "203.0.113.2"], ["here"]) == []
