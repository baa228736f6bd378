"""The record of a run, through the public API: what a whole run leaves, and what one leaves whose driver is killed."""

import contextlib
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, record
from rhapsody_parsl.errors import NoRecord
from testing import dashboard
from testing.processes import below
from testing.waiting import until
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60
ROOT = Path(__file__).parents[2]
KILLED = """
import httpx
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from testing.fake_openai import COMMAND
from tests.integration import apps

if __name__ == "__main__":
    model = VLLMService("m", "m", cores=0, server="command", executable=COMMAND)
    with RhapsodyExecutor(label="lab", runtimes=[LocalRuntime()], services=[model], cores_per_node=2) as executor:
        executor.submit(apps.add, {}, 1).result()
        key = {"Authorization": f"Bearer {executor.openai_key}"}
        asked = {"model": "m", "prompt": "drip", "stream": True}
        with httpx.stream("POST", f"{executor.openai_url()}/completions", json=asked, headers=key) as answer:
            list(answer.iter_text())
"""


def test_a_run_tells_of_each_task_when_where_and_how() -> None:
    with RhapsodyExecutor(label="lab", runtimes=[LocalRuntime()], cores_per_node=2, metrics_port=0) as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        naps = [executor.submit(apps.nap, {"cores": 2}, 0.3) for _ in range(2)]
        bad = executor.submit(apps.fail_deeply, {}, "no such key")
        late = executor.submit(apps.nap, {"walltime": 0.2}, 30)
        assert isinstance(bad.exception(TIMEOUT), KeyError)
        assert late.exception(TIMEOUT) is not None
        assert [nap.exception(TIMEOUT) for nap in naps] == [None, None]
        gone = executor.submit(apps.nap, {}, 60)
        assert gone.cancel()
        assert until(lambda: executor.snapshot()["blocks"][0]["use"], 20)
        assert executor._metrics is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{executor._metrics.port}/metrics", timeout=10) as answer:
            text = answer.read()
        assert b'rhapsody_tasks_ended_total{executor="lab",runtime="local",outcome="done"}' in text
        assert dashboard.metrics() - dashboard.exposed(text.decode()) == set()
        assert b'rhapsody_node_cpu_ratio{executor="lab",block="0",node="' in text
    run = record.read("runinfo")
    assert [(use.node, use.memory > 0, 0 <= use.cpu <= 1) for use in run.use[:1]] == [
        (run.blocks[0].nodes[0].name, True, True)
    ]
    told = {task.task: task for task in run.tasks}
    assert (run.complete, run.unfinished, run.label, sorted(told)) == (True, 0, "lab", [1, 2, 3, 4, 5, 6])
    ends = {number: (task.outcome, task.failure) for number, task in told.items()}
    assert ends == {
        1: ("done", ""), 2: ("done", ""), 3: ("done", ""), 4: ("raised", "KeyError"),
        5: ("failed", "WalltimeExceeded"), 6: ("cancelled", ""),
    }  # fmt: skip
    for task in (told[number] for number in range(1, 6)):
        moments = [task.submitted, task.accepted, task.placed, task.started, task.ended, task.heard]
        assert moments == sorted(moments)
        assert task.shares
    assert [told[number].shares[0].cores for number in (2, 3)] == [(0, 1), (0, 1)]
    assert 0.29 < told[2].seconds < 0.3 + TIMEOUT
    assert told[3].waited_for == "cores"


def test_a_run_without_a_record_has_no_file_and_its_newest_leases() -> None:
    with RhapsodyExecutor(label="lab", runtimes=[LocalRuntime()], cores_per_node=1, record=False) as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        assert until(executor.timeline, 10)[0]["name"] == "add"
    with pytest.raises(NoRecord):
        record.read("runinfo")


def test_what_a_killed_driver_has_written_can_be_read(tmp_path: Path) -> None:
    Path("killed.py").write_text(KILLED)
    driver = subprocess.Popen([sys.executable, "killed.py"], env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    try:
        until(lambda: so_far().requests, 30)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait(10)
    run = record.read("runinfo")
    assert ([(task.app, task.outcome) for task in run.tasks], run.complete) == ([("add", "done")], False)
    assert [(request.service, request.outcome) for request in run.requests] == [("m", "under way")]
    until(lambda: not below("rhapsody_parsl"), 30)


def so_far() -> record.RunRecord:
    with contextlib.suppress(NoRecord):
        return record.read("runinfo")
    return record.RunRecord()
