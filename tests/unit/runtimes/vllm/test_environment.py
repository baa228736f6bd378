"""The variables of a replica's processes."""

from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.in_block.context import Node, Placed
from rhapsody_parsl.runtimes.vllm.environment import process_environment, thread_groups
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.wire.leases import Share
from tests.unit.runtimes.vllm.test_request_queue import NODE, context_of


def test_threads_stand_on_the_leases_cores() -> None:
    service = VLLMService("s", model="m", cores=2)
    part = Placed(NODE, Share("n0", (2, 3)))
    env = process_environment(service, part, context_of(), folder=Path("/tmp/x"), api_key="key")  # noqa: S108 - never made
    assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1"
    assert env["OMP_NUM_THREADS"] == "2"
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert env["VLLM_PLUGINS"] == ""
    assert env["TMPDIR"] == "/tmp/x"  # noqa: S108 - never made


def test_a_gpu_service_sees_its_gpus_only_and_the_users_variables_win() -> None:
    service = VLLMService("s", model="m", gpus=1, env={"VLLM_PLUGINS": "mine"})
    part = Placed(NODE, Share("n0", (0,), (1,)))
    env = process_environment(service, part, context_of(), folder=Path("/x"), api_key="key")
    assert env["CUDA_VISIBLE_DEVICES"] == "8"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in env
    assert env["VLLM_PLUGINS"] == "mine"


def test_each_node_of_a_replica_shows_its_own_gpus() -> None:
    service = VLLMService("s", "m", gpus=1, nodes=2, engine_args={"tensor_parallel_size": 2})
    other = Node(name="n1", host="there", cores=(0,), real_cores=(0,), gpus=("3", "4"), gpu_vendor="nvidia")
    parts = (Placed(NODE, Share("n0", (0,), (1,))), Placed(other, Share("n1", (0,), (0,))))
    shown = [process_environment(service, part, context_of(), folder=Path("/x"), api_key="") for part in parts]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in shown] == ["8", "3"]


def test_nothing_is_compiled_on_cpus_unless_the_user_wants_it() -> None:
    for eager, expected in ((True, "1"), (False, None)):
        service = VLLMService("s", "m", engine_args={"enforce_eager": eager})
        env = process_environment(service, None, context_of(), folder=Path("/x"), api_key="")
        assert env.get("TORCH_COMPILE_DISABLE") == expected


@pytest.mark.parametrize(
    ("sizes", "own", "expected"),
    [
        ({}, {}, "0"),
        ({"tensor_parallel_size": 2}, {}, None),
        ({}, {"LD_PRELOAD": "libtcmalloc.so:libiomp5.so"}, None),
        ({}, {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}, "1"),
    ],
)
def test_a_worker_that_is_alone_needs_no_process_of_its_own(
    sizes: dict[str, Any], own: dict[str, str], expected: str | None
) -> None:
    service = VLLMService("s", "m", engine_args=sizes, env=own)
    env = process_environment(service, None, context_of(), folder=Path("/x"), api_key="")
    assert env.get("VLLM_ENABLE_V1_MULTIPROCESSING") == expected


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ({"tensor_parallel_size": 2}, "0,1,2,3"),
        ({"tensor_parallel_size": 4}, "0,1|2,3"),
        ({"data_parallel_size": 2, "tensor_parallel_size": 2}, "0,1|2,3"),
    ],
)
def test_thread_groups_are_those_of_one_nodes_workers(sizes: dict[str, Any], groups: str) -> None:
    assert thread_groups(VLLMService("s", "m", nodes=2, engine_args=sizes), (0, 1, 2, 3)) == groups


@pytest.mark.parametrize(
    ("arguments", "cores", "groups"),
    [
        ({}, (0, 1), "0,1"),
        ({"tensor_parallel_size": 2}, (0, 1, 2, 3), "0,1|2,3"),
        ({"tensor_parallel_size": 2}, (0,), "0|0"),
        ({"tensor_parallel_size": "x"}, (0, 1), "0,1"),
    ],
)
def test_each_worker_of_the_engine_has_its_cores(
    arguments: dict[str, Any], cores: tuple[int, ...], groups: str
) -> None:
    assert thread_groups(VLLMService("s", model="m", engine_args=arguments), cores) == groups
