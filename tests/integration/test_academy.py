"""A program of Academy's runs on the executor: only the executor in Parsl's configuration differs."""

import asyncio
import warnings
from pathlib import Path

import pytest
from parsl import Config
from parsl.concurrent import ParslPoolExecutor

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing.ports import free_port

pytest.importorskip("academy")


def test_agents_of_academy_run_in_the_block(tmp_path: Path) -> None:
    from academy.exchange.cloud.client import spawn_http_exchange

    from tests.integration import academy_program

    executor = RhapsodyExecutor(label="academy", runtimes=[LocalRuntime()], cores_per_node=1)
    config = Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False)
    with spawn_http_exchange("127.0.0.1", free_port()) as factory, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Academy asks the pool to cancel, which Parsl's cannot
        pool = ParslPoolExecutor(config)
        answers = asyncio.run(academy_program.run(factory, pool, parsl_resource_specification={"cores": 0}))
    assert answers == [15, 4, 1]
