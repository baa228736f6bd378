"""The engine, driven as the endpoint drives it, without broker and web service."""

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from globus_compute_common import messagepack
from globus_compute_endpoint.endpoint.config.utils import load_config_yaml
from globus_compute_endpoint.engines import GlobusComputeEngine
from globus_compute_sdk import MPIFunction, ShellFunction
from globus_compute_sdk.serialize import JSONData, SerializationStrategy
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl.globus_compute import RhapsodyEngine, register
from testing.globus_engine import Driver, TaskFailedError, started
from testing.processes import below, processes_of
from testing.waiting import until
from tests.globus import functions

MPI4 = {"runtime": "mpi", "num_ranks": 4}


def engine_of(**settings: Any) -> RhapsodyEngine:
    settings = {"runtimes": {"local": {}, "mpi": {}}, "cores_per_node": 4, **settings}
    return RhapsodyEngine(provider=LocalProvider(init_blocks=1, max_blocks=1), **settings)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("engine")
    with started(engine_of(run_in_sandbox=True), folder) as driver:
        driver.call(functions.square, 1)
        yield driver


def test_function_returns(driver: Driver) -> None:
    futures = [driver.submit(functions.square, x) for x in range(50)]
    assert [driver.value(future) for future in futures] == [x * x for x in range(50)]


def test_user_exception_is_told_with_its_traceback(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match="LookupError: no such word: nix") as caught:
        driver.call(functions.fail, "nix")
    assert caught.value.code == "RemoteExecutionError"
    assert "in fail" in str(caught.value)


def test_an_exception_with_a_lone_surrogate_keeps_its_class(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match=r"LookupError: no such word: \\+ud800") as caught:
        driver.call(functions.fail_without_unicode)
    assert caught.value.code == "RemoteExecutionError"


def test_users_objects_are_opened_by_no_process_of_ours(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match=r"The task raised \S*Strange: ") as caught:
        driver.call(functions.fail_strangely)
    assert caught.value.code == "RemoteError"


def test_exit_of_a_function_is_told(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match=r"the task called sys\.exit\(3\)"):
        driver.call(functions.leave)


def test_a_result_too_large_is_refused_by_globus_computes_own_words(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match="MaxResultSizeExceeded") as caught:
        driver.call(functions.large, 11 << 20)
    assert caught.value.code == "MaxResultSizeExceeded"
    assert len(driver.call(functions.large, 5 << 20)) == 5 << 20


def test_each_task_has_a_process_state_of_its_own(driver: Driver) -> None:
    one_core = {"cores": 4}  # so that all go to one process, one after the other
    spoiled = driver.call(functions.spoil, spec=one_core)
    process, folder, left, sandbox = driver.call(functions.state, spec=one_core)
    assert process == spoiled
    assert left is None
    assert folder == sandbox
    assert folder != driver.call(functions.state, spec=one_core)[1], "each task has a sandbox of its own"
    assert Path(folder).parent.name == "tasks_working_dir"


def test_a_fresh_process_is_there_for_who_wants_it(driver: Driver) -> None:
    fresh = {"policy": {"isolation": "process"}}
    assert driver.call(functions.state, spec=fresh)[0] != driver.call(functions.state, spec=fresh)[0]


def test_shell_function(driver: Driver) -> None:
    result = driver.call(ShellFunction("echo {word}; echo oh >&2; exit 7"), word="hello")
    assert (result.returncode, result.stdout, result.stderr) == (7, "hello\n", "oh\n")
    assert driver.call(ShellFunction("sleep 60", walltime=0.2)).returncode == 124


def test_mpi_function_is_launched_once_over_its_ranks(driver: Driver) -> None:
    result = driver.call(MPIFunction("sh -c 'echo rank; sleep 0.1'"), spec=MPI4)
    assert (result.returncode, result.stdout) == (0, "rank\n" * 4)
    as_mpi_engine = {"num_nodes": 1, "ranks_per_node": 2}
    assert driver.call(MPIFunction("sh -c 'echo rank; sleep 0.1'"), spec=as_mpi_engine).stdout == "rank\n" * 2


def test_function_with_comm_runs_on_every_rank(driver: Driver) -> None:
    futures = [driver.submit(functions.total, list(range(n)), spec=MPI4) for n in range(20)]
    assert [driver.value(future) for future in futures] == [(sum(range(n)), 4) for n in range(20)]


def test_a_failure_of_one_rank_is_the_tasks(driver: Driver) -> None:
    with pytest.raises(TaskFailedError, match=r"(?s)LookupError: not on rank 1.*Raised by rank 1 of 4 on "):
        driver.call(functions.fail_on_one, spec=MPI4)
    assert driver.call(functions.total, [1, 2], spec=MPI4) == (3, 4)


@pytest.mark.parametrize(("spec", "words"), [
    ({"rnks": 4}, "unknown key. Did you mean 'ranks'?"),
    ({"num_ranks": 99}, "the block has room for 4 ranks in all"),
    ({"runtime": "vllm", "service": "assistant"}, "this executor has no services"),
    ({**MPI4, "returns": "all"}, "Return comm.gather"),
])  # fmt: skip
def test_what_can_never_run_is_refused_with_a_sentence(driver: Driver, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskFailedError) as caught:
        driver.call(functions.total, [1], spec=spec)
    assert words in str(caught.value)
    assert caught.value.code in {"InvalidTask", "InvalidSpecification"}


def test_status_report_tells_of_runtimes_and_workers(driver: Driver, tmp_path: Path) -> None:
    go = tmp_path / "go"
    future = driver.submit(functions.wait_for, str(go), spec={"cores": 3})
    try:
        report = until(lambda: _report_when_busy(driver), 20)
    finally:
        go.touch()
    assert driver.value(future) == str(go)
    assert (report["total_workers"], report["busy_workers"], report["idle_workers"]) == (4, 3, 1)
    assert report["runtimes"]["0"]["local"]["state"] == "ready"
    assert report["outstanding_tasks"] == 1
    assert [node["worker_count"] for nodes in report["node_info"].values() for node in nodes] == [4]


def _report_when_busy(driver: Driver) -> Any:
    report = driver.engine.get_status_report()
    json.dumps(report.global_state)
    assert messagepack.unpack(messagepack.pack(report)) == report
    return report.global_state if report.global_state["busy_workers"] else None


def test_timeout_of_globus_compute(tmp_path: Path) -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=1, worker_init="export GC_TASK_TIMEOUT=1")
    engine = RhapsodyEngine(provider=provider, runtimes={"local": {}}, cores_per_node=1)
    with started(engine, tmp_path) as driver:
        assert driver.call(functions.sleep, 0.1) == "slept"
        with pytest.raises(TaskFailedError, match="AppTimeout"):
            driver.call(functions.sleep, 60)


def test_json_arguments_and_an_allow_list(tmp_path: Path) -> None:
    engine = engine_of(allowed_serializers=["globus_compute_sdk.*Code", "globus_compute_sdk.serialize.JSONData"])
    with started(engine, tmp_path) as driver:
        with pytest.raises(TaskFailedError, match="DillDataBase64 disabled by current"):
            driver.call(functions.total, [1, 2], spec=MPI4)
        driver.serializer.data_serializer = SerializationStrategy.get_cached_by_class(JSONData)
        assert driver.call(functions.total, [1, 2], spec=MPI4) == (3, 4)


@pytest.mark.parametrize("retries", [0, 1])
def test_a_killed_pilot_is_told_with_the_blocks_words(tmp_path: Path, retries: int) -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=1, worker_init="echo words of the block >&2")
    polling = {"strategy_period": 0.5}
    engine = RhapsodyEngine(
        provider=provider, runtimes={"local": {}}, max_retries_on_system_failure=retries, job_status_kwargs=polling,
        block_error_handler=False,
    )  # fmt: skip
    with started(engine, tmp_path) as driver:
        assert driver.call(functions.square, 3) == 9
        future = driver.submit(functions.sleep if retries else functions.sleep_long, *([3] if retries else []))
        until(driver.engine.executor.timeline, 20)
        time.sleep(0.5)
        pilot = processes_of("rhapsody_parsl.pilot")[0]
        os.kill(pilot.pid, signal.SIGKILL)
        killed = time.monotonic()
        if retries:
            assert driver.value(future) == "slept"
            return
        with pytest.raises(TaskFailedError, match=r"BlockLost: Block 0 was lost.*words of the block") as caught:
            driver.value(future)
        assert caught.value.code == "BlockLost"
        assert time.monotonic() - killed < 5


def test_every_lost_try_is_told(tmp_path: Path) -> None:
    engine = engine_of(max_retries_on_system_failure=1)
    with started(engine, tmp_path) as driver:
        with pytest.raises(TaskFailedError) as caught:
            driver.call(functions.leave)
        with pytest.raises(TaskFailedError, match="longer than its walltime") as final:
            driver.call(functions.sleep_long, spec={"policy": {"walltime": 0.5}})
    assert caught.value.code == "WorkerLost"
    assert str(caught.value).count("the task called sys.exit(3)") == 2
    assert final.value.code == "WalltimeExceeded"
    assert "attempt" not in str(final.value), "what took too long is not tried again"


def test_blocks_come_with_tasks_and_go_when_idle(tmp_path: Path) -> None:
    provider = LocalProvider(init_blocks=0, min_blocks=0, max_blocks=1)
    polling = {"strategy_period": 0.5, "max_idletime": 1.0}
    engine = RhapsodyEngine(provider=provider, runtimes={"local": {}}, job_status_kwargs=polling)
    with started(engine, tmp_path) as driver:
        for _ in range(2):
            assert driver.call(functions.square, 3) == 9
            until(lambda: driver.engine.get_status_report().global_state["managers"] == 0, 20)
    assert len(engine.executor.blocks_to_job_id) == 2


def test_shutdown_before_start_and_twice() -> None:
    engine = engine_of()
    engine.shutdown()
    engine.shutdown()


def test_submit_before_start_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Driver(engine_of()).submit(functions.square, 1)


def test_high_assurance_holds_or_says_why() -> None:
    engine_of().assert_ha_compliant()
    with pytest.raises(ValueError, match=r"set engine\.encrypted: true"):
        engine_of(encrypted=False).assert_ha_compliant()
    provider = LocalProvider(nodes_per_block=2, launcher=SimpleLauncher())
    several = RhapsodyEngine(provider=provider, runtimes={"mpi": {}})
    with pytest.raises(ValueError, match="do not encrypt what goes between a block's nodes"):
        several.assert_ha_compliant()


def test_an_endpoint_yaml_makes_the_engine() -> None:
    register()
    text = """
engine:
  type: RhapsodyEngine
  label: mine
  max_retries_on_system_failure: 2
  encrypted: false
  provider: {type: LocalProvider, max_blocks: 3}
  runtimes:
    dragon:
    mpi: {launcher: srun}
  services:
    - {name: assistant, model: /model, gpus: 1}
    - {name: cache, command: "redis-server --port {port}"}
"""
    engine = load_config_yaml(text).engine
    assert isinstance(engine, RhapsodyEngine)
    assert [type(each).__name__ for each in engine.executor.runtimes] == ["DragonRuntime", "MPIRuntime"]
    assert [type(each).__name__ for each in engine.executor.services.configs] == ["VLLMService", "CommandService"]
    assert (engine.executor.label, engine.encrypted, engine.max_retries_on_system_failure) == ("mine", False, 2)
    assert engine.provider.max_blocks == 3
    assert uuid.UUID(int=0) != engine.endpoint_id


def test_globus_computes_own_engine_leaves_what_a_task_leaves(tmp_path: Path) -> None:
    """Ours need not give each task a process of its own: this is what its users know."""
    provider = LocalProvider(
        init_blocks=1, max_blocks=1, worker_init=f"export PATH={Path(sys.executable).parent}:$PATH"
    )
    engine = GlobusComputeEngine(provider=provider, max_workers_per_node=1, address="127.0.0.1")
    with started(engine, tmp_path) as driver:
        spoiled = driver.call(functions.spoil)
        process, _, left, _ = driver.call(functions.state)
    assert (process, left) == (spoiled, "yes")


@pytest.mark.parametrize(
    ("function", "spec", "code"),
    [
        (ShellFunction("sleep 61.71 & sleep 61.71; echo never", walltime=1), {}, 124),
        (ShellFunction("(setsid sleep 61.71 &) ; sleep 61.71 & echo over"), {}, 0),
        (MPIFunction("sleep 61.71", walltime=1), {"runtime": "mpi", "num_ranks": 2}, 124),
    ],
)
def test_what_a_command_started_is_gone_with_its_answer(driver: Driver, function: Any, spec: Any, code: int) -> None:
    assert driver.call(function, spec=spec).returncode == code
    assert below("61.71") == []


def test_a_child_that_a_function_forks_is_only_a_child(driver: Driver) -> None:
    assert {how: driver.call(functions.fork, how) for how in ("exit", "raise", "return")} == {
        "exit": 5,
        "raise": 1,
        "return": 0,
    }
