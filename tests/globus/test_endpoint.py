"""The whole chain: SDK client, service, broker, core endpoint, user endpoint, one block with three runtimes.

What is launched sleeps a little: MPICH's mpiexec may die of SIGPIPE when ranks end before it has closed their input.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from globus_compute_sdk import Client, Executor, MPIFunction, ShellFunction
from globus_compute_sdk.errors import TaskExecutionFailed
from parsl import Config, python_app
from parsl.executors import GlobusComputeExecutor

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing.globus_endpoint import CoreEndpoint, core_endpoint, init
from testing.globus_service import Service
from testing.processes import processes_of
from testing.tiny_llama import write_tiny_llama
from testing.unprivileged import UID, as_nobody
from testing.waiting import until, until_gone
from tests.globus import functions

TEMPLATE = """
engine:
  type: RhapsodyEngine
  run_in_sandbox: true
  cores_per_node: 4
  runtimes:
    dragon: {{}}
    mpi: {{}}
  services:
    - name: assistant
      model: {model}
      cores: 0
      engine_args: {{max_model_len: 256, enforce_eager: true, kv_cache_memory_bytes: 33554432}}
  provider: {{type: LocalProvider, init_blocks: 1, max_blocks: 1}}
"""
SMALL = """
engine:
  type: RhapsodyEngine
  cores_per_node: {{ cores_per_node | default(2) }}
  runtimes: {local: {}, mpi: {}}
  provider: {type: LocalProvider, init_blocks: 1, max_blocks: 1}
"""
MPI2 = {"runtime": "mpi", "num_ranks": 2}
ASSISTANT = {"runtime": "vllm", "service": "assistant", "max_tokens": 4, "temperature": 0.0}
TIMEOUT = 90.0


@pytest.fixture(scope="module")
def client(service: Service) -> Client:
    return Client(local_compute_services=True, do_version_check=False)


@pytest.fixture(scope="module")
def small(service: Service, user_dir: Path, client: Client) -> Iterator[CoreEndpoint]:
    """Return an endpoint of light runtimes, whose block is there."""
    with core_endpoint(init(user_dir, "small", SMALL)) as endpoint:
        with Executor(endpoint.id, client=client) as executor:
            submit(executor, None, functions.square, 1).result(TIMEOUT)
        yield endpoint


@pytest.fixture
def fresh(service: Service, user_dir: Path, request: pytest.FixtureRequest) -> Iterator[CoreEndpoint]:
    """Return such an endpoint for one test alone."""
    with core_endpoint(init(user_dir, request.node.name[:40], SMALL)) as endpoint:
        yield endpoint


def submit(executor: Executor, spec: dict[str, Any] | None, function: Any, *args: Any, **kwargs: Any) -> Any:
    executor.resource_specification = spec
    return executor.submit(  # type: ignore[no-untyped-call]  # the SDK's
        function, *args, **kwargs
    )


def pilots() -> list[psutil.Process]:
    """List the pilots below us: a block's job has left its endpoint's process tree."""
    return processes_of("rhapsody_parsl.pilot")


def run_200(executor: Executor) -> None:
    """Submit 200 tasks of five kinds, interleaved, and check each value."""
    futures = []
    for n in range(40):
        futures += [
            ("function", n, submit(executor, None, functions.square, n)),
            ("launched", n, submit(executor, MPI2, MPIFunction("sh -c 'echo {n}; sleep 0.1'", name="launched"), n=n)),
            ("comm", n, submit(executor, MPI2, functions.total, list(range(n)))),
            ("shell", n, submit(executor, None, ShellFunction("echo {n}; pwd", name="shell"), n=n)),
            ("model", n, submit(executor, ASSISTANT, functions.prompt, str(n % 4))),
        ]
    answers: dict[int, set[str]] = {}
    folders = set()
    for kind, n, future in futures:
        value = future.result(TIMEOUT)
        match kind:
            case "function":
                assert value == n * n
            case "launched":
                assert (value.returncode, value.stdout) == (0, f"{n}\n" * 2)
            case "comm":
                assert value == (sum(range(n)), 2)
            case "shell":
                word, folder = value.stdout.split()
                assert word == str(n)
                folders.add(folder)
            case _:
                answers.setdefault(n % 4, set()).add(value)
    assert len(folders) == 40, "each task has a sandbox of its own"
    assert sorted(answers) == [0, 1, 2, 3]
    assert all(texts and "" not in texts for texts in answers.values())


def test_one_block_answers_all_kinds_also_after_a_restart(service: Service, user_dir: Path, client: Client) -> None:
    template = TEMPLATE.format(model=write_tiny_llama(user_dir / "model"))
    with (
        core_endpoint(init(user_dir, "main", template)) as endpoint,
        Executor(endpoint.id, client=client, batch_size=64) as executor,
    ):
        run_200(executor)
        (user_endpoint,) = endpoint.user_endpoints()
        assert len(pilots()) == 1, "one block"
        family = [user_endpoint.pid, *(each.pid for each in user_endpoint.children(recursive=True))]
        user_endpoint.terminate()
        until_gone(family, 40)
        run_200(executor)
        assert [each.pid for each in endpoint.user_endpoints()] != [user_endpoint.pid]


def test_greedy_tasks_are_killed_alone(small: CoreEndpoint, client: Client) -> None:
    """Eight that take more than their `memory`, each second one a program, beside honest ones."""
    limit, program = {"memory": 0.3}, "python3 -c 'import time; held = bytearray(10**9); time.sleep(20)'"
    with Executor(small.id, client=client) as executor:
        greedy, honest = [], []
        for n in range(4):
            greedy += [submit(executor, limit, functions.grow, 10**9), submit(executor, limit, ShellFunction(program))]
            honest.append(submit(executor, limit, functions.square, n))
        for future in greedy:
            assert "more than its memory=0.3 (GB)" in str(future.exception(TIMEOUT))
        assert [future.result(TIMEOUT) for future in honest] == [n * n for n in range(4)]


def test_errors_reach_the_client(small: CoreEndpoint, client: Client) -> None:
    with Executor(small.id, client=client) as executor:
        with pytest.raises(TaskExecutionFailed, match="LookupError: no such word: nix"):
            submit(executor, None, functions.fail, "nix").result(TIMEOUT)
        with pytest.raises(TaskExecutionFailed, match=r"unknown key. Did you mean 'ranks'\?"):
            submit(executor, {"rnks": 2}, functions.square, 1).result(TIMEOUT)


def test_globus_compute_executor_beside_ours(small: CoreEndpoint, client: Client, tmp_path: Path) -> None:
    remote = GlobusComputeExecutor(Executor(small.id, client=client), label="remote")
    local = RhapsodyExecutor(label="here", runtimes=[LocalRuntime()], cores_per_node=1)
    total = python_app(functions.total_app, executors=["remote"])
    square = python_app(functions.square, executors=["here"])
    with parsl.load(Config(executors=[remote, local], run_dir=str(tmp_path), initialize_logging=False)):
        sums = [total([n, n], parsl_resource_specification=MPI2) for n in range(5)]
        assert [each.result() for each in sums] == [(2 * n, 2) for n in range(5)]
        assert square(square(3)).result() == 81
        with pytest.raises(LookupError, match="not on rank 1"):
            python_app(functions.fail_app, executors=["remote"])(parsl_resource_specification=MPI2).result()


def test_a_killed_pilot_is_told(fresh: CoreEndpoint, client: Client) -> None:
    with Executor(fresh.id, client=client) as executor:
        before = pilots()
        assert submit(executor, None, functions.square, 2).result(TIMEOUT) == 4
        lost = submit(executor, None, functions.sleep_long)
        (pilot,) = [each for each in pilots() if each not in before]
        time.sleep(2)  # the service and the endpoint look twice a second
        pilot.kill()
        with pytest.raises(TaskExecutionFailed, match="Block 0 was lost while it held this task"):
            lost.result(TIMEOUT)


def test_heartbeats_carry_runtimes_and_workers(service: Service, fresh: CoreEndpoint, client: Client) -> None:
    with Executor(fresh.id, client=client, user_endpoint_config={"cores_per_node": 3}) as executor:
        assert submit(executor, MPI2, functions.total, [1, 2, 3]).result(TIMEOUT) == (6, 2)

    def told() -> Any:
        """Return a report of the block at rest: whether the function has a `comm` was a task before it."""
        reports = [each for each in service.reports.values() if each.get("total_workers") == 3]
        return next((r for r in reports if r["runtimes"]["0"]["mpi"]["done"] and r["idle_workers"] == 3), None)

    report = until(told, 30)
    assert report["engine_type"] == "RhapsodyEngine"
    assert report["busy_workers"] == 0


def test_a_wrong_template_is_told_by_its_path(service: Service, user_dir: Path, client: Client) -> None:
    wrong = SMALL.replace("mpi: {}", "mpi: {launcher: sruhn}")
    with (
        core_endpoint(init(user_dir, "wrong", wrong)) as endpoint,
        Executor(endpoint.id, client=client) as executor,
    ):
        words = "engine.runtimes.mpi.launcher: allowed are auto, .*, not 'sruhn'"
        with pytest.raises(TaskExecutionFailed, match=words):
            submit(executor, None, functions.square, 2).result(TIMEOUT)


@pytest.mark.skipif(os.geteuid() != 0, reason="all tests here run without privileges already")
def test_an_unprivileged_user(service: Service, user_dir: Path, client: Client) -> None:
    folder = Path(f"/tmp/globus-nobody-{os.getpid()}")  # noqa: S108 - pytest's own folders let root in only
    folder.mkdir()
    os.chown(folder, UID, UID)
    try:
        with (
            core_endpoint(init(folder, "plain", SMALL, as_nobody), as_nobody) as endpoint,
            Executor(endpoint.id, client=client) as executor,
        ):
            assert submit(executor, None, os.getuid).result(TIMEOUT) == UID
            assert submit(executor, MPI2, functions.total, [1, 2, 3]).result(TIMEOUT) == (6, 2)
            assert (
                submit(executor, MPI2, MPIFunction("sh -c 'id -u; sleep 0.1'")).result(TIMEOUT).stdout == f"{UID}\n" * 2
            )
    finally:
        shutil.rmtree(folder)
