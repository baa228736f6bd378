"""Which names are one host's."""

import socket
import time

import pytest

from rhapsody_parsl.cluster import names
from rhapsody_parsl.cluster.names import is_host, is_one_host, our_names, ours, own_address


@pytest.mark.parametrize(("one", "other", "same"), [
    ("n1", "n1.site.org", True), ("N1.site", "n1", True), ("n1", "n11", False), ("n1.a", "n1.b", True),
    ("10.0.0.5", "10.0.0.6", False), ("10.0.0.5", "10.0.0.5", True), ("10.0.0.5", "10", False),
    ("fe80::1", "fe80:0::1", True), ("fe80::1", "fe80::2", False), ("[fe80::1]", "fe80::1", True),
])  # fmt: skip
def test_addresses_are_whole_and_names_short(one: str, other: str, same: bool) -> None:
    assert is_host(one, other) == is_host(other, one) == same


def test_names_of_two_domains_in_a_list_are_two_hosts() -> None:
    assert is_one_host("n1", "N1.a")
    assert is_one_host("n1.a", "N1.A")
    assert not is_one_host("n1.a", "n1.b")
    assert ours(["n1.a", "n1.b"], ["n1.b"]) == ["n1.b"]
    assert not is_one_host("10.0.0.5", "10.0.0.6")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses by name; 198.51.100.7 is ours."""
    known: dict[str, str] = {}

    def getaddrinfo(name: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 2, 17, "", (known[name], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(names, "_is_own", lambda address: address == "198.51.100.7")
    return known


def test_names_of_another_network_are_known_by_their_addresses(network: dict[str, str]) -> None:
    network.update({"n7-ib0": "198.51.100.7", "n8-ib0": "198.51.100.8", "localhost": "127.0.0.1"})
    assert ours(["n8-ib0", "n7-ib0"], ["n7"]) == ["n7-ib0"]
    assert ours(["n8-ib0", "localhost"], ["n7"]) == [], "every host has that one"


def test_the_network_tells_which_of_two_alike_we_are(network: dict[str, str]) -> None:
    network.update({"n1.rack1": "198.51.100.8", "n1.rack2": "198.51.100.7"})
    assert ours(["n1.rack1", "n1.rack2"], ["n1"]) == ["n1.rack2"]


def test_a_slow_network_is_not_asked_for_ever(network: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: str) -> list[str]:
        time.sleep(0.05)
        return []

    monkeypatch.setattr(names, "_ASKED_FOR", 0.1)
    monkeypatch.setattr(names, "addresses_of", slow)
    began = time.monotonic()
    assert ours([f"n{number}" for number in range(1000)], ["here"]) == []
    assert time.monotonic() - began < 20


def test_a_host_whose_name_the_network_does_not_know_has_an_address(network: dict[str, str]) -> None:
    assert own_address().count(".") == 3 or own_address() == socket.gethostname()
    network[socket.gethostname()] = "127.0.1.1"
    assert own_address() == socket.gethostname()


def test_the_batch_systems_name_counts_first() -> None:
    names = our_names({"SLURMD_NODENAME": "node7"}, "ip-10-0-0-7")
    assert names == ["node7", "ip-10-0-0-7"]
    assert ours(["ip-10-0-0-7", "node7.site"], names) == ["node7.site"]
    assert ours(["ip-10-0-0-7", "other"], names) == ["ip-10-0-0-7"]
    assert our_names({}, "here") == ["here"]


def test_an_address_of_this_host_is_known_by_its_network() -> None:
    assert ours(["203.0.113.1", "127.0.0.1", "other"], ["here"]) == ["127.0.0.1"]
    assert ours(["203.0.113.1", "203.0.113.2"], ["here"]) == []
