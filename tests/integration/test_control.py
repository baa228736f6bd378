"""The command line beside a running executor: what it tells, and what it has done."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.doctor.self_test import try_runtimes
from testing.small_server import COMMAND as SMALL
from testing.waiting import until

COMMAND = [sys.executable, "-m", "rhapsody_parsl.cli.main"]
pytestmark = pytest.mark.timeout(120)


def nap(gate: str) -> str:
    from testing.waiting import until

    print("napping until", gate, flush=True)  # noqa: T201 - into its log
    until(Path(gate).exists)
    return gate


def run_in(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


class Desk:
    """A terminal beside a running executor, and its tasks: two nap, and more than have room wait."""

    def __init__(self, folder: Path, executor: RhapsodyExecutor) -> None:
        self.folder, self.executor = folder, executor
        self.gate = str(folder / "gate")
        self.naps = [self.nap(cores=1) for _ in range(4)]

    def nap(self, **keys: Any) -> "Future[Any]":
        return self.executor.submit(nap, keys, self.gate)

    def run(self, *words: str, status: int = 0) -> str:
        """Return what the command prints."""
        done = subprocess.run(
            [*COMMAND, *words], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout if done.returncode != 3 and not done.stderr else done.stderr

    def ask(self, *words: str, status: int = 0) -> Any:
        """Return what it prints as JSON."""
        return json.loads(self.run(*words, "--json", status=status))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    before = Path.cwd()
    os.chdir(folder)
    executor = RhapsodyExecutor(
        label="desk",
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[LocalRuntime()],
        services=[CommandService("web", SMALL, ready="http:/", cores=1)],
        cores_per_node=3,
    )
    try:
        with executor:
            made = Desk(folder, executor)
            executor.services["web"].wait_ready(60)
            until(lambda: executor.view().blocks[0].tasks.running == 2)
            yield made
            Path(made.gate).touch()
            assert made.run("status", status=0)
        assert "No executor of" in made.run("status", "0", status=3)
        assert not list(folder.rglob("control*"))
    finally:
        os.chdir(before)


def test_status(desk: Desk) -> None:
    told = desk.run("status")
    assert re.search(r"executor desk, process \d+ on", told)
    assert re.search(r"^0 +connected +1 +3/3 ", told, re.M), "a block with its cores"
    assert re.search(r"^web +ready +1/1 ", told, re.M)
    view = desk.ask("status", "0")
    assert view["view"]["blocks"][0]["tasks"] == desk.executor.snapshot()["blocks"][0]["tasks"]
    assert view["run"]["pid"] == os.getpid()


def test_tasks_say_what_waits_and_why(desk: Desk) -> None:
    table = desk.ask("tasks", "--list")
    (app,) = table["apps"]
    assert (app["app"], app["running"], app["waiting"]) == ("nap", 2, 2)
    (wait,) = table["waits"]
    assert wait["why"] == "it needs 1 core of one node (at most 0 free)"
    assert [task["state"] for task in table["tasks"]] == ["running", "running", "waiting", "waiting"]
    told = desk.run("tasks", "--app", "nap", "--list", "1")
    assert re.search(r"^ +2 +nap .*it needs 1 core of one node", told, re.M)
    assert re.search(r"^ +1 +nap +running +local +0 .*local-worker-", told, re.M)
    assert "no task yet" in desk.run("tasks", "--app", "other")


def test_logs_of_a_task_a_service_a_node_and_a_block(desk: Desk) -> None:
    first = desk.ask("tasks", "--list", "1")["tasks"][0]["task"]
    until(lambda: f"napping until {desk.gate}" in desk.run("logs", str(first)))
    (node,) = (node["name"] for node in desk.ask("status")["view"]["blocks"][0]["nodes"])
    for of, name in (("web", "web-0.log"), (node, "block-0.log"), ("block-0", "block-0.log")):
        assert [Path(path).name for path in desk.ask("logs", of)["files"]] == [name]
        assert desk.run("logs", of, "--paths").strip().endswith(name)
    assert "Nothing here is called wep" in desk.run("logs", "wep", status=1)


def test_services_are_told_what_to_do(desk: Desk) -> None:
    assert re.search(r"^web +ready +1/1 +0 +ready 1/1", desk.run("services"), re.M)
    desk.ask("services", "stop", "web")
    desk.executor.services["web"].wait_stopped(30)
    until(lambda: desk.executor.view().blocks[0].tasks.running == 3)  # on the core that it held
    assert desk.ask("services", "0")["services"][0]["state"] == "stopped"
    assert "no such service" in desk.run("services", "start", "wed", status=1)
    assert "services scale NAME N" in desk.run("services", "scale", "web", status=1)
    assert "is no number of replicas" in desk.run("services", "scale", "web", "x", status=1)


def test_cancelled_tasks_are_gone(desk: Desk) -> None:
    one = desk.nap(cores=1)
    number = str(one.parsl_executor_task_id)  # type: ignore[attr-defined]  # ours has it
    assert desk.ask("cancel", number)["tasks"] == [int(number)]
    with pytest.raises(CancelledError):
        one.result(10)
    assert f"ended already: {number}" in desk.run("cancel", number, status=1)
    assert "Say what to cancel" in desk.run("cancel", status=1)


@pytest.mark.parametrize("how", ["q", "ctrl-c"])
def test_top_in_a_terminal(desk: Desk, how: str) -> None:
    terminal, keys = pty.openpty()
    fcntl.ioctl(keys, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    line = [*COMMAND, "top", "--interval", "0.2"]
    terms = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(line, cwd=desk.folder, stdin=keys, stdout=keys, stderr=keys, env=terms) as top:
        os.close(keys)
        shown = b""
        while b"with a runtime" not in shown:
            shown += os.read(terminal, 1 << 16)
        if how == "q":
            os.write(terminal, b"q")
        else:
            top.send_signal(signal.SIGINT)
        shown += b"".join(iter(lambda: _read(terminal), b""))
        assert top.wait(30) == 0
    os.close(terminal)
    assert shown.rstrip().endswith(b"\x1b[?1049l"), "the screen is as before"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # nobody is at the other end any more
        return b""


def test_top_prints_one_frame(desk: Desk) -> None:
    running = desk.executor.view().blocks[0].tasks.running  # one more, once the service has given its core back
    frame = desk.run("top", "--once")
    assert re.search(rf"^tasks +\d+ outstanding: \d+ wait, {running} with a runtime", frame, re.M)
    assert re.search(rf"^cores +█+ 3/3 .*local {running}", frame, re.M)
    assert re.search(rf"^nap +\d+ +{running}", frame, re.M)
    assert desk.ask("top")["tasks"]["apps"][0]["app"] == "nap"


def test_what_cannot_be_reached(desk: Desk, tmp_path: Path) -> None:
    assert "There is no run" in desk.run("status", "17", status=3)
    assert "No running executor no is found" in desk.run("status", "--executor", "no", status=3)
    done = run_in(tmp_path, "status")
    assert (done.returncode, "No running executor is found below" in done.stderr) == (3, True)


def test_drained_blocks_leave_and_the_rest_runs_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    with RhapsodyExecutor(label="x", provider=provider, runtimes=[LocalRuntime()], cores_per_node=2) as executor:
        desk = Desk(tmp_path, executor)
        until(lambda: [block.tasks.running for block in executor.view().blocks] == [2])
        assert "There is no block 7" in desk.run("drain", "--block", "7", status=1)
        assert desk.ask("drain")["blocks"] == ["0"]
        until(lambda: "block 0 is leaving" in str(desk.ask("tasks")["waits"]))
        Path(desk.gate).touch()
        assert [nap.result(60) for nap in desk.naps] == [desk.gate] * 4
        until(lambda: [block.id for block in executor.view().blocks] == ["1"])


def test_one_without_control_has_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RhapsodyExecutor(label="x", provider=LocalProvider(init_blocks=0), runtimes=[LocalRuntime()], control=False):
        assert not list(tmp_path.rglob("control*"))


def test_doctor_starts_a_real_block(tmp_path: Path) -> None:
    done = run_in(tmp_path, "doctor", "--json")
    found = {(finding["area"], finding["what"]): finding for finding in json.loads(done.stdout)}
    tried = {what: finding["mark"] for (area, what), finding in found.items() if area == "self-test"}
    here = {what for (area, what), finding in found.items() if area == "runtimes" and finding["mark"] == "ok"}
    assert tried == dict.fromkeys(["block", *(here - {"vllm"})], "ok"), done.stdout
    assert not list(tmp_path.iterdir()), "its run directory is elsewhere, and gone"


def test_doctor_names_the_runtime_that_was_too_slow() -> None:
    found = [(finding.what, finding.mark) for finding in try_runtimes({"local"}, within=0)]
    assert found == [("local", "problem"), ("block", "ok")]


def test_where_no_socket_can_be_the_executor_works_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nowhere(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rhapsody_parsl.control.server.announce", nowhere)
    with RhapsodyExecutor(label="x", provider=LocalProvider(init_blocks=0), runtimes=[LocalRuntime()]) as executor:
        assert executor.view().blocks == ()
    assert "executor x has no control socket: no room" in caplog.text
