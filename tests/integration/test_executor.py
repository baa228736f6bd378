"""The executor through its public API, with the local runtime: without a DataFlowKernel, refusals, and every end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import parsl
import psutil
import pytest
import zmq
from parsl import Config, python_app
from parsl.executors.errors import BadStateException, InvalidResourceSpecification
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockLost, InvalidTask, RhapsodyError
from testing.hostile import VALUES, failing
from testing.processes import below, processes_of
from testing.waiting import until, until_gone
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60
ROOT = Path(__file__).parents[2]


def local(**options: Any) -> RhapsodyExecutor:
    return RhapsodyExecutor(label="local", runtimes=[LocalRuntime()], cores_per_node=2, **options)


@pytest.fixture
def running() -> Iterator[RhapsodyExecutor]:
    with local() as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        yield executor


def pilot() -> psutil.Process:
    """The pilot itself, not its guard."""
    return processes_of("rhapsody_parsl.pilot")[0]


def test_without_a_data_flow_kernel(running: RhapsodyExecutor) -> None:
    futures = [running.submit(apps.add, None, number) for number in range(50)]
    assert [future.result(TIMEOUT) for future in futures] == [number + 1 for number in range(50)]
    assert running.outstanding() == 0
    assert running.connected_blocks() == ["0"]


def test_before_and_after_its_life_it_says_so() -> None:
    executor = local()
    with pytest.raises(RhapsodyError, match="Executor local is not running: start it before submit"):
        executor.submit(apps.add, {}, 1)
    with executor:
        executor.submit(apps.add, {}, 1).result(TIMEOUT)
    with pytest.raises(RhapsodyError, match="is not running"):
        executor.submit(apps.add, {}, 1)
    executor.shutdown()


@pytest.mark.parametrize(("spec", "sentence"), [
    ({"coers": 2}, "coers=2: unknown key. Did you mean 'cores'?"),
    ({"cores": 3}, "cores=3: the largest node has 2 for tasks. Ask for 2 at most"),
    ({"num_ranks": 2}, "runtime='mpi': this executor has local. Add it to RhapsodyExecutor(runtimes=[...]) "
                       "or use one of: local"),
    ({"service": "llm"}, "service='llm': this executor has no services. "
                         "Add it to RhapsodyExecutor(services=[VLLMService(...)])"),
    ({"gpus": 1}, "gpus=1.0: the largest node has 0 for tasks. Ask for 0 at most"),
])  # fmt: skip
def test_what_can_never_run_is_refused_at_submit(
    running: RhapsodyExecutor, spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidResourceSpecification) as caught:
        running.submit(apps.add, spec, 1)
    assert str(caught.value) == sentence
    assert running.outstanding() == 0


@pytest.mark.parametrize(("options", "sentence"), [
    ({"runtimes": []}, "runtimes=[]: a list of at least one is needed. Write runtimes=[DragonRuntime()]"),
    ({"runtimes": [LocalRuntime(), LocalRuntime()]}, "runtimes=['local', 'local']: at least one, and each kind once."),
    ({"runtimes": [LocalRuntime()], "default_runtime": "mpi"}, "default_runtime='mpi': runtimes has local."),
])  # fmt: skip
def test_a_wrong_configuration_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        RhapsodyExecutor(**options)
    assert str(caught.value) == sentence


def test_whatever_the_values_are_the_call_runs_or_is_refused(running: RhapsodyExecutor) -> None:
    given = {"cores": np.int64(1), "memory": np.float32(0), "near": failing(str)("x")}
    known = running.submit(apps.specification, given, parsl_resource_specification=given)
    assert known.result(TIMEOUT) == {"cores": 1, "memory": 0.0, "near": "x"}
    futures = []
    for value in VALUES:
        with contextlib.suppress(InvalidResourceSpecification):
            futures.append(running.submit(apps.add, {"cores": value, "priority": value}, 1))
    assert [future.result(TIMEOUT) for future in futures] == [2] * len(futures)
    assert 0 < len(futures) < len(VALUES) // 4


def test_a_label_of_all_that_is_allowed_works() -> None:
    with RhapsodyExecutor(label="é-b_c.d+e@f:g=h,i%", runtimes=[LocalRuntime()]) as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2


def test_explain_snapshot_and_timeline(running: RhapsodyExecutor) -> None:
    assert "it fits" in str(running.explain({"cores": 2}))
    until(lambda: running.snapshot()["blocks"][0]["tasks"].get("done") == 1, 5)
    block = running.snapshot()["blocks"][0]
    assert (block["state"], block["cores"], block["runtimes"]["local"]["state"]) == ("connected", 2, "ready")
    (line,) = until(running.timeline, 5)
    assert (line["name"], line["runtime"], line["cores"], line["tasks"]) == ("add", "local", [0], 1)
    assert line["end"] > line["start"]


def test_a_cancelled_future_is_seen_by_wait(running: RhapsodyExecutor) -> None:
    future = running.submit(apps.nap, {}, 30)
    assert future.cancel()
    assert future.cancel()
    assert wait([future], timeout=1).done == {future}
    assert running.outstanding() == 0


def test_kill_of_the_pilot_loses_the_block(running: RhapsodyExecutor, tmp_path: Path) -> None:
    future = running.submit(apps.sleep_with_a_child, {}, str(tmp_path))
    until((tmp_path / "pids").exists)
    began = time.monotonic()
    pilot().kill()
    error = future.exception(TIMEOUT)
    assert time.monotonic() - began < 10
    assert isinstance(error, BlockLost)
    assert "Block 0 was lost while it held this task: its job ended" in str(error)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    until_gone(pids)


def test_what_the_block_said_last_is_in_the_error(tmp_path: Path) -> None:
    command = "{python} -m rhapsody_parsl.pilot {config} {block_id} || (echo the node caught fire >&2; exit 3)"
    with local(launch_cmd=command) as executor:
        executor.submit(apps.add, {}, 1).result(TIMEOUT)
        future = executor.submit(apps.sleep_with_a_child, {}, str(tmp_path))
        until((tmp_path / "pids").exists)
        pilot().kill()
        assert "the node caught fire" in str(future.exception(TIMEOUT))


def test_a_block_told_to_end_says_goodbye(running: RhapsodyExecutor, tmp_path: Path) -> None:
    begun = running.submit(apps.sleep_with_a_child, {}, str(tmp_path))
    until((tmp_path / "pids").exists)
    pilot().terminate()
    error = begun.exception(15)
    assert isinstance(error, BlockLost)
    assert "the block was told to end (SIGTERM)" in str(error)
    until(lambda: not below("rhapsody_parsl"), 15)


def test_two_blocks_share_the_tasks(tmp_path: Path) -> None:
    provider = LocalProvider(init_blocks=2, max_blocks=2)
    with local(provider=provider) as executor:
        until(lambda: len(executor.connected_blocks()) == 2)
        futures = [executor.submit(apps.nap, {}, 0.2) for _ in range(20)]
        wait(futures, TIMEOUT)
        until(lambda: sum(line["tasks"] for line in executor.timeline()) == 20, 5)
        assert {line["block"] for line in executor.timeline()} == {"0", "1"}
        assert executor.scale_in(1)
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2


def test_a_task_that_had_not_begun_goes_to_the_other_block(tmp_path: Path) -> None:
    provider = LocalProvider(init_blocks=2, max_blocks=2)
    with local(provider=provider) as executor:
        until(lambda: len(executor.connected_blocks()) == 2)
        futures = [executor.submit(apps.nap, {"on_loss": "rerun"}, 0.3) for _ in range(20)]
        pilot().terminate()
        assert [future.result(TIMEOUT) for future in futures] == [0.3] * 20


def test_over_encrypted_tcp_as_from_another_host() -> None:
    with local(address="127.0.0.1") as executor:
        futures = [executor.submit(apps.add, {}, number) for number in range(500)]
        assert [future.result(TIMEOUT) for future in futures] == list(range(1, 501))
        assert executor._link is not None
        assert [block.local for block in executor._link.blocks] == [False]


def test_a_pilot_on_the_drivers_host_comes_over_a_unix_socket(running: RhapsodyExecutor) -> None:
    large = bytes(30_000_000)
    assert running.submit(apps.size_of, {}, large).result(TIMEOUT)[0] == len(large)
    assert running._link is not None
    assert [block.local for block in running._link.blocks] == [True]


def test_many_threads_may_submit_at_once(running: RhapsodyExecutor) -> None:
    def some(start: int) -> list[int]:
        futures = [running.submit(apps.add, {}, start + number) for number in range(100)]
        return [future.result(TIMEOUT) for future in futures]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(some, range(0, 800, 100)))
    assert answers == [list(range(start + 1, start + 101)) for start in range(0, 800, 100)]


def test_without_encryption() -> None:
    with local(encrypted=False, address="127.0.0.1") as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2


def test_a_stranger_on_the_port_does_no_harm() -> None:
    with local(encrypted=False, address="127.0.0.1") as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        assert executor._link is not None
        context: zmq.Context[Any] = zmq.Context()
        with context.socket(zmq.DEALER) as stranger:
            stranger.linger = 0  # it is refused, and nobody takes what it says
            stranger.connect(f"tcp://127.0.0.1:{executor._link.port}")
            for words in ([b"hello"], [bytes(17), b"no message"], [b"\x07" * 17], [b"\xff\xfe", b""]):
                with contextlib.suppress(zmq.Again):  # it has been refused already, and its socket would wait for ever
                    stranger.send_multipart(words, zmq.NOBLOCK)
            assert executor.submit(apps.add, {}, 2).result(TIMEOUT) == 3
            until(lambda: executor._link is not None and executor._link.is_alive())
        context.destroy(linger=0)
        assert executor.submit(apps.add, {}, 3).result(TIMEOUT) == 4
        assert len(executor.connected_blocks()) == 1


def test_a_wrong_address_is_explained(tmp_path: Path) -> None:
    with local(address="127.0.0.2", provider=LocalProvider()) as executor:
        # nobody of ours listens there: the driver bound all, so give the pilot a port of nobody
        config = executor._config_path
        assert config is not None
        config.write_text(config.read_text().replace(str(executor._link.port), "9"))  # type: ignore[union-attr]  # is there
        future = executor.submit(apps.add, {}, 1)
        error = future.exception(TIMEOUT)
        assert isinstance(error, BadStateException)
        words = "No address of the driver answers from"
        assert words in str(executor.executor_exception)
        assert "Give RhapsodyExecutor(address=...) one that the nodes of the block can reach" in str(
            executor.executor_exception
        )
        with pytest.raises(BadStateException):
            executor.submit(apps.add, {}, 1)


def test_under_parsl_with_call_time_keys() -> None:
    with parsl.load(Config(executors=[local()], initialize_logging=False)):
        app = python_app(apps.add)
        assert app(1, parsl_resource_specification={"cores": 2, "policy": {"priority": 3}}).result() == 2
        with pytest.raises(InvalidResourceSpecification, match="Did you mean 'cores'"):
            app(1, parsl_resource_specification={"core": 2}).result()


DRIVER = """
import sys, pathlib
import parsl
from parsl import Config
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import apps
if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    executor = RhapsodyExecutor(label="local", runtimes=[LocalRuntime()], cores_per_node=2)
    with parsl.load(Config(executors=[executor], run_dir=str(folder / "runs"), exit_mode="skip")):
        futures = [executor.submit(apps.sleep_with_a_child, {}, str(folder)) for _ in range(5)]
        print("submitted", flush=True)
        [future.result() for future in futures]
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A driver of its own, with tasks that sleep; started in its own group, as a shell does."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE, process_group=0) as process:
        until((tmp_path / "pids").exists)
        yield process
        process.kill()


def test_kill_of_the_driver_leaves_no_process(driver: "subprocess.Popen[str]", tmp_path: Path) -> None:
    family = below(pid=driver.pid)
    assert below("rhapsody_parsl.worker")
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    driver.kill()
    driver.wait(5)
    until_gone([*pids, *(process.pid for process in family)], 15)
    until(lambda: not below("rhapsody_parsl"), 15)


def test_ctrl_c_ends_all_in_time(driver: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    os.killpg(driver.pid, signal.SIGINT)
    driver.wait(20)
    assert time.monotonic() - began < 10
    assert "KeyboardInterrupt" in str(driver.stderr.read() if driver.stderr else "")
    until(lambda: not below("rhapsody_parsl"), 5)
