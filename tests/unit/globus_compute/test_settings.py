"""What is wrong in an endpoint's YAML is named by its path."""

from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import CommandService, DragonRuntime, LocalRuntime, MPIRuntime, VLLMService
from rhapsody_parsl.globus_compute import RhapsodyEngine
from rhapsody_parsl.globus_compute.settings import InvalidSetting, read_runtimes, read_services

SERVICE = {"name": "assistant", "model": "/model"}


def test_runtimes_of_a_yaml_become_the_executors() -> None:
    served = {**SERVICE, "gpus": 1, "nodes": 2, "engine_args": {"tensor_parallel_size": 2}}
    given = {
        "dragon": {"nodes_per_partition": 2},
        "mpi": {"launcher": "srun"},
        "local": None,
    }
    service = VLLMService("assistant", "/model", gpus=1, nodes=2, engine_args={"tensor_parallel_size": 2})
    assert read_runtimes(given) == (
        DragonRuntime(nodes_per_partition=2),
        MPIRuntime(launcher="srun"),
        LocalRuntime(),
    )
    cache = {"name": "cache", "command": "redis-server --port {port}"}
    assert read_services([served, cache]) == (service, CommandService("cache", "redis-server --port {port}"))


def test_dragon_alone_is_the_default() -> None:
    assert read_runtimes(None) == (DragonRuntime(),)


@pytest.mark.parametrize(("given", "words"), [
    ({"dargon": {}}, "engine.runtimes.dargon: unknown runtime. Did you mean 'dragon'?"),
    (["dragon"], "engine.runtimes: keys and values are needed, not ['dragon']. Write runtimes: {dragon: {}"),
    ({}, "engine.runtimes: at least one runtime is needed"),
    ({"mpi": {"launcher": "mpirun"}}, "engine.runtimes.mpi.launcher: allowed are auto, hydra, openmpi, srun"),
    ({"mpi": {"lancher": "srun"}}, "engine.runtimes.mpi.lancher: unknown key. Did you mean 'launcher'?"),
    ({"mpi": "srun"}, "engine.runtimes.mpi: keys and values are needed, not 'srun'"),
    ({"dragon": {"startup_timeout": 0}}, "engine.runtimes.dragon.startup_timeout: it must be 0.1 or more, not 0"),
    ({"dragon": {"nodes_per_partition": "two"}}, "engine.runtimes.dragon.nodes_per_partition: Expected int"),
    ({"vllm": {}}, "engine.runtimes.vllm: models are services. Write services: [{name: assistant, model"),
])  # fmt: skip
def test_runtimes_that_cannot_be(given: Any, words: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_runtimes(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(("given", "words"), [
    ({}, "engine.services: a list of services is needed"),
    ([{"name": "a"}], "engine.services[0].model: this key is needed"),
    ([SERVICE, {**SERVICE, "model": 7}], "engine.services[1].model: Expected str"),
    ([SERVICE, SERVICE], "engine.services: two services have one name"),
    ([{**SERVICE, "cores": -2}], "engine.services[0].cores: it must be -1 or more, not -2"),
    ([{"name": "cache", "command": "x", "redy": "tcp"}], "engine.services[0].redy: unknown key. Did you mean 'ready'?"),
])  # fmt: skip
def test_services_that_cannot_be(given: Any, words: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_services(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(("settings", "words"), [
    ({"max_workers_per_node": 4}, "max_workers_per_node: unknown key. A node runs as many tasks as it has cores"),
    ({"container_type": "docker"}, "engine.container_type: unknown key. Start the block in the container"),
    ({"encypted": True}, "engine.encypted: unknown key. Did you mean 'encrypted'?"),
    ({"default_runtime": "mpi"}, "engine.default_runtime: runtimes has local, not 'mpi'"),
    ({"cores_per_node": "four"}, "engine.cores_per_node: a whole number or None is needed, not 'four'"),
    ({"run_in_sandbox": "no"}, "engine.run_in_sandbox: True or False is needed, not 'no'"),
    ({"max_retries_on_system_failure": "3"}, "engine.max_retries_on_system_failure: a whole number is needed, not '3'"),
    ({"working_dir": 5}, "engine.working_dir: text or None is needed, not 5"),
    ({"label": 5}, "engine.label: text is needed, not 5"),
    ({"strategy": "simpel"}, "engine.strategy: allowed are none, simple, htex_auto_scale, not 'simpel'. "
     "Did you mean 'simple'?"),
    ({"job_status_kwargs": ["x"]}, "engine.job_status_kwargs: a dict or None is needed, not ['x']"),
    ({"job_status_kwargs": {"max_idle": 5}}, "engine.job_status_kwargs.max_idle: unknown key. "
     "Did you mean 'max_idletime'?"),
    ({"job_status_kwargs": {"max_idletime": "5"}},
     "engine.job_status_kwargs.max_idletime: a number is needed, not '5'"),
    ({"job_status_kwargs": {"strategy_period": 0}},
     "engine.job_status_kwargs.strategy_period: it must be more than zero"),
    ({"provider": None}, "engine.provider: this key is needed. Write provider: {type: LocalProvider}"),
])  # fmt: skip
def test_engine_keys_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        RhapsodyEngine(**{"provider": LocalProvider(), "runtimes": {"local": {}}, **settings})
    assert words in str(caught.value)
