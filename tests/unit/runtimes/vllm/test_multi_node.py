"""What each process of an engine over several nodes is told; the place to meet is real."""

import os
import socket
from typing import Any

import msgspec
import pytest

from rhapsody_parsl.hosts.own_address import address_towards
from rhapsody_parsl.runtimes.vllm.command_line import command, member_command
from rhapsody_parsl.runtimes.vllm.multi_node import engine_arguments, network_environment, opened
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.wire.engine_messages import Rendezvous

PLACE = Rendezvous("10.0.0.1", 5000)


def settings_for(rank: int = 0, place: Rendezvous | None = PLACE, nodes: int = 2, **sizes: int) -> EngineSettings:
    service = VLLMService("s", "m", nodes=nodes, server="command", engine_args=sizes)
    return EngineSettings(
        name="s", endpoint="ipc://x", peer="s-0/1", service=service, model="/m", host="0.0.0.0", public_host="a",  # noqa: S104 - as services do
        port=0, secret="", hosts=("localhost",) * nodes, rank=rank, rendezvous=place,
    )  # fmt: skip


def test_one_engine_over_its_nodes() -> None:
    given = [engine_arguments(settings_for(rank, tensor_parallel_size=4)) for rank in (0, 1)]
    common = {
        "tensor_parallel_size": 4, "distributed_executor_backend": "mp", "nnodes": 2, "master_addr": "10.0.0.1",
        "master_port": 5000,
    }  # fmt: skip
    assert given == [{**common, "node_rank": 0}, {**common, "node_rank": 1}]


def test_engines_on_each_node() -> None:
    given = [engine_arguments(settings_for(rank, data_parallel_size=4)) for rank in (0, 1)]
    common = {
        "data_parallel_size": 4, "data_parallel_size_local": 2, "data_parallel_address": "10.0.0.1",
        "data_parallel_rpc_port": 5000,
    }  # fmt: skip
    assert given == [common, {**common, "data_parallel_start_rank": 2}]


def test_an_engine_on_one_node_is_told_nothing() -> None:
    assert engine_arguments(settings_for(nodes=1, place=None, tensor_parallel_size=2)) == {"tensor_parallel_size": 2}


def test_an_engine_that_may_sleep_is_told_so() -> None:
    service = VLLMService("s", "m", gpus=1, sleep=60)
    settings = msgspec.structs.replace(settings_for(place=None), service=service)
    assert engine_arguments(settings) == {"enable_sleep_mode": True}


def test_the_head_serves_and_members_have_no_head() -> None:
    head = command(settings_for(0, tensor_parallel_size=2, api_server_count=1), 99, "/python")
    member = member_command(settings_for(1, tensor_parallel_size=2, api_server_count=1), "/python")
    assert head[:9] == [*member[:5], "--host", "0.0.0.0", "--port", "99"]  # noqa: S104 - text
    assert member[5] == "--headless"
    assert "--port" not in member
    assert value(head, "--api-server-count") == "1"
    assert "--api-server-count" not in member
    assert (value(head, "--node-rank"), value(member, "--node-rank")) == ("0", "1")
    assert {value(words, "--master-port") for words in (head, member)} == {"5000"}
    assert "--kv-cache-memory-bytes" in member


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_the_head_keeps_a_port_that_its_engine_may_still_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    told: list[Rendezvous] = []
    with opened(settings_for(place=None, tensor_parallel_size=2), told.append) as settings:
        assert told == [settings.rendezvous]
        assert told[0].address == os.environ["VLLM_HOST_IP"] == "127.0.0.1"
        with socket.socket() as engine:
            engine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            engine.bind(("", told[0].port))
            engine.listen()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("", told[0].port))
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"


def test_a_lone_head_opens_nothing() -> None:
    alone = settings_for(nodes=1, place=None)
    told: list[Any] = []
    with opened(alone, told.append) as settings:
        assert settings is alone
    assert told == []


def test_the_network_is_found_from_our_address_and_what_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "hsn0")
    assert network_environment(address_towards("127.0.0.1")) == {
        "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "hsn0",
    }  # fmt: skip
