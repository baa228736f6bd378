"""Parsl's monitoring database after one workflow, under this executor and under HighThroughputExecutor."""

import gc
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.executors import HighThroughputExecutor
from parsl.executors.base import ParslExecutor
from parsl.monitoring import MonitoringHub
from parsl.monitoring.radios.udp import UDPRadio
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing.waiting import until
from tests.integration import apps

pytest.importorskip("sqlalchemy")


def ours(**options: Any) -> RhapsodyExecutor:
    return RhapsodyExecutor(
        label="compared", runtimes=[LocalRuntime()], cores_per_node=2, provider=LocalProvider(), **options
    )


def htex() -> HighThroughputExecutor:
    return HighThroughputExecutor(
        label="compared", max_workers_per_node=2, address="127.0.0.1", provider=LocalProvider(), encrypted=False
    )


def workflow(executor: ParslExecutor, folder: Path) -> sqlite3.Connection:
    """Run two functions, a bash app and a function that dies once; return the database."""
    folder.mkdir()
    hub = MonitoringHub(resource_monitoring_interval=0.5, logging_endpoint=f"sqlite:///{folder}/monitoring.db")
    config = Config(
        executors=[executor], monitoring=hub, retries=1, run_dir=str(folder / "runs"), initialize_logging=False,
        strategy="none",
    )  # fmt: skip
    with parsl.load(config):
        futures = [python_app(apps.nap)(1.2), python_app(apps.add)(1), bash_app(apps.shell)("true")]
        futures.append(python_app(apps.fail_once)(str(folder / "failed")))
        for future in futures:
            future.result(60)
    return sqlite3.connect(folder / "monitoring.db")


def facts(database: sqlite3.Connection) -> dict[str, Any]:
    """Return what must not depend on the executor, table by table."""

    def rows(query: str) -> list[Any]:
        return database.execute(query).fetchall()

    workers = "select distinct task_id, try_id, psutil_process_pid is not null, psutil_process_memory_resident > 0"
    return {
        "workflow": rows("select tasks_failed_count, tasks_completed_count, time_completed is not null from workflow"),
        "task": rows("select task_id, task_func_name, task_fail_count, task_time_returned is not null from task"),
        "try": rows(
            "select task_id, try_id, task_executor, block_id, hostname, task_try_time_running is not null,"
            " task_try_time_returned is not null, task_fail_history from try order by 1, 2"
        ),
        "status": sorted(set(rows("select task_id, try_id, task_status_name from status"))),
        "block": sorted(set(rows("select executor_label, block_id, job_id is not null, status from block"))),
        "node": sorted(set(rows("select block_id, hostname, active, worker_count, python_v from node"))),
        "resource": sorted(rows(f"{workers}, resource_monitoring_interval from resource")),
    }


@pytest.fixture(autouse=True)
def no_semaphores_left() -> Iterator[None]:
    """Collect Parsl's monitoring hub, a cycle whose queues own named semaphores."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return facts(workflow(htex(), tmp_path_factory.mktemp("htex") / "run"))


def test_the_records_are_those_of_htex(expected: dict[str, Any], tmp_path: Path) -> None:
    found = facts(workflow(ours(), tmp_path / "run"))
    for table in ("workflow", "task", "try", "status", "resource"):
        assert found[table] == expected[table], table
    label, running = "compared", {"RUNNING"}  # whether Parsl polls in time to see a job run is chance
    assert {row for row in found["block"] if row[3] not in running} == {
        (label, "0", 1, "PENDING"), (label, "0", 1, "SCALED_IN")
    }  # fmt: skip
    assert {row for row in expected["block"] if row[3] not in running} == {
        row for row in found["block"] if row[3] not in running
    }
    assert {row[2] for row in found["node"]} == {0, 1}, "there, and gone"
    assert {(r[0], r[1], r[4]) for r in found["node"]} == {(r[0], r[1], r[4]) for r in expected["node"]}


def test_over_udp_too(expected: dict[str, Any], tmp_path: Path) -> None:
    found = facts(workflow(ours(remote_monitoring_radio=UDPRadio(address="127.0.0.1")), tmp_path / "run"))
    assert found["status"] == expected["status"]
    assert found["resource"] == expected["resource"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run the workflow and serve what was recorded; return the run and the address of its pages."""
    for needed in ("flask_sqlalchemy", "pandas", "plotly", "pydot"):
        pytest.importorskip(needed, reason="needs parsl[visualization]")
    (run,) = workflow(ours(), tmp_path / "run").execute("select run_id from workflow").fetchone()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    database = f"sqlite:///{tmp_path}/run/monitoring.db"
    words = [sys.executable, "-c", "from parsl.monitoring.visualization.app import cli_run; cli_run()"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*words, database, "--port", port], stdout=log, stderr=log)
    until(lambda: server.poll() is not None or " * Running on" in (tmp_path / "log").read_text())
    yield run, f"http://127.0.0.1:{port}/workflow/{run}"
    server.kill()
    server.wait(10)


PAGES = {
    "/": ["nap", "add", "shell"],
    "/app/nap": ["nap"],
    "/task/": ["nap", "add", "fail_once"],
    "/task/0": ["nap", "exec_done"],
    **({"/dag_group_by_apps": ["plotly"], "/dag_group_by_states": ["plotly"]} if shutil.which("dot") else {}),
    "/resource_usage": ["CPU", "Memory"],
}


def test_parsl_visualize_shows_the_run(site: tuple[str, str]) -> None:
    run, address = site
    assert run in page(address.partition("/workflow")[0])
    for path, words in PAGES.items():
        shown = page(address + path)
        assert not [word for word in words if word not in shown], path


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())
