"""Parsl's monitoring with Dragon, MPI and vLLM in one block: every kind of task has its records, and nothing hangs."""

import gc
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.monitoring import MonitoringHub

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from testing.tiny_llama import write_tiny_llama
from tests.integration import apps, gangs

pytest.importorskip("sqlalchemy")

ENGINE = {"enforce_eager": True, "kv_cache_memory_bytes": 64 << 20, "max_model_len": 256}


@pytest.fixture(autouse=True)
def no_semaphores_left() -> Iterator[None]:
    """Collect Parsl's monitoring hub, a cycle whose queues own named semaphores."""
    yield
    gc.collect()


@pytest.mark.vllm
@pytest.mark.mpi
@pytest.mark.dragon
def test_every_runtime_has_records_and_nothing_hangs(tmp_path: Path) -> None:
    service = VLLMService("tiny", model=str(write_tiny_llama(tmp_path / "tiny")), engine_args=ENGINE)
    executor = RhapsodyExecutor("all", runtimes=[DragonRuntime(), MPIRuntime()], services=[service], cores_per_node=4)
    hub = MonitoringHub(resource_monitoring_interval=0.3, logging_endpoint=f"sqlite:///{tmp_path}/monitoring.db")
    config = Config(
        executors=[executor], monitoring=hub, run_dir=str(tmp_path / "runs"), initialize_logging=False, strategy="none"
    )
    with parsl.load(config):
        futures = [
            python_app(apps.nap)(0.8),
            bash_app(apps.shell)("$PARSL_MPI_PREFIX sleep 0.8", parsl_resource_specification={"num_ranks": 2}),
            python_app(gangs.nap)(0.8),
            python_app(apps.same)("Say something", parsl_resource_specification={"service": "tiny", "max_tokens": 4}),
        ]
        for future in futures:
            future.result(150)
    database = sqlite3.connect(tmp_path / "monitoring.db")
    done = database.execute("select task_id from status where task_status_name = 'exec_done'").fetchall()
    assert sorted(task for (task,) in done) == [0, 1, 2, 3]
    watched = database.execute("select distinct task_id from resource order by 1").fetchall()
    assert {0, 1, 2} <= {task for (task,) in watched}
    assert database.execute("select count(*) from try where block_id is not null").fetchone() == (4,)
