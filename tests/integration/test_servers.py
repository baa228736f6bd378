"""Servers that people know, as services of a block: Redis, PostgreSQL and MLflow, as they are installed."""

import os
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rhapsody_parsl
from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor
from testing import postgres
from testing.ports import free_port
from testing.servers import MLFLOW, REDIS, has
from testing.unprivileged import UID
from testing.waiting import until

TIMEOUT = 60


@pytest.mark.skipif(not has(REDIS), reason="redis-server is not installed")
@pytest.mark.usefixtures("elsewhere")
def test_redis() -> None:
    cache = CommandService("cache", REDIS, port=free_port())
    with RhapsodyExecutor("redis", runtimes=[LocalRuntime()], services=[cache], cores_per_node=2) as block:
        block.services["cache"].wait_ready(TIMEOUT)
        assert block.submit(ping, {}, "cache").result(TIMEOUT) == b"+PONG\r\n"


def ping(name: str) -> bytes:
    service = rhapsody_parsl.service(name)
    with socket.create_connection((service.host, service.port)) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(100)


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """Give a folder that the user may have whom root becomes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        if os.geteuid() == 0:
            os.chown(folder, UID, UID)
        yield Path(folder)


@pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())
@pytest.mark.usefixtures("elsewhere")
def test_postgresql(anyones_folder: Path) -> None:
    service = CommandService(
        "db",
        postgres.COMMAND,
        ready="log:ready to accept connections",
        env={"DATA": str(anyones_folder), "PASSWORD": "{secret}"},
        stop_signal="SIGINT",
    )
    with RhapsodyExecutor("postgres", runtimes=[LocalRuntime()], services=[service], cores_per_node=2) as block:
        block.services["db"].wait_ready(TIMEOUT)
        assert block.submit(asked_table, {}, "create table t as select 42 as n").result(TIMEOUT) == []
        error = block.submit(asked_table, {}, "select 1", "wrong").exception(TIMEOUT)
        assert "password authentication failed" in str(error)
        server = int((anyones_folder / "db" / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        until(lambda: block.services["db"].status().state != "ready", TIMEOUT)
        block.services["db"].wait_ready(TIMEOUT)
        assert block.submit(asked_table, {}, "select n from t").result(TIMEOUT) == ["42"]
        logs = block.services["db"].logs(1000)
    (log,) = logs.values()
    assert "database system was not properly shut down" in log
    said = [path.read_text(errors="replace") for path in Path(block.run_dir).rglob("*.log")]
    assert any("received fast shutdown request" in text for text in said)


def asked_table(statement: str, password: str = "") -> list[str]:
    from testing.postgres import query

    service = rhapsody_parsl.service("db")
    return query(service.host, service.port, password or service.secret, statement)


@pytest.mark.skipif(not has(MLFLOW), reason="`make integration` installs MLflow")
@pytest.mark.usefixtures("elsewhere")
def test_mlflow(tmp_path: Path) -> None:
    kept = tmp_path / "runs.sqlite"
    command = f"{MLFLOW} --backend-store-uri sqlite:///{kept} --artifacts-destination {tmp_path}"
    alone = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else it leaves a folder in shared memory
    tracking = CommandService("tracking", command, ready="http:/health", env=alone)
    with RhapsodyExecutor("mlflow", runtimes=[LocalRuntime()], services=[tracking], cores_per_node=2) as block:
        block.services["tracking"].wait_ready(TIMEOUT)
        runs = [block.submit(tracked, {}, "temperature", value) for value in (0.61, 0.62)]
        assert len({run.result(TIMEOUT) for run in runs}) == 2
    with sqlite3.connect(kept) as database:
        rows = database.execute("select key, value from metrics order by value").fetchall()
    assert rows == [("temperature", 0.61), ("temperature", 0.62)]


def tracked(key: str, value: float) -> str:
    """Record a value as a run of its own, by MLflow's REST interface."""
    import json
    import time
    import urllib.request

    def asked(path: str, **facts: Any) -> Any:
        url = f"{rhapsody_parsl.service('tracking').url}/api/2.0/mlflow/{path}"
        request = urllib.request.Request(url, json.dumps(facts).encode(), {"Content-Type": "application/json"})  # noqa: S310 - our own
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own
            return json.load(answer)

    run = str(asked("runs/create", experiment_id="0")["run"]["info"]["run_id"])
    asked("runs/log-metric", run_id=run, key=key, value=value, timestamp=int(time.time() * 1000))
    return run
