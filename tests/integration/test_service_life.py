"""Services while the block runs: started, stopped, scaled, started again, added; and no request is lost by it.

`RHAPSODY_KILLS=200` makes a campaign of the kills that are few here.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, python_app
from parsl.dataflow.futures import AppFuture
from parsl.providers import LocalProvider

import rhapsody_parsl
from rhapsody_parsl import CommandService, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import InvalidTask, ServiceFailed, ServiceNotFound, ServiceNotReady
from testing import leaks
from testing.fake_openai import COMMAND
from testing.processes import below
from testing.small_server import COMMAND as SMALL
from testing.waiting import until
from tests.integration.asking import asked

TIMEOUT = 60
GROWS: dict[str, Any] = {"cores": 1, "server": "command", "executable": COMMAND, "requests_in_flight": 4}
LENDS: dict[str, Any] = {"gpus": 1, "replicas": (0, 3), "requests_per_replica": 2, "lend_after": 0.5}
KILLS = int(os.environ.get("RHAPSODY_KILLS", "6"))

pytestmark = pytest.mark.timeout(180 + 10 * KILLS)


@python_app
def found(name: str, timeout: float | None = None) -> str:
    return rhapsody_parsl.service(name, timeout).url


@python_app
def held(seconds: float, parsl_resource_specification: dict[str, Any]) -> float:
    import time

    time.sleep(seconds)
    return time.time()


@python_app
def ranks(parsl_resource_specification: dict[str, Any], comm: Any = None) -> Any:
    import os

    return comm.gather(os.environ["CUDA_VISIBLE_DEVICES"])


SMI = """#!/bin/sh
while true; do
    for gpu in 0 1 2; do echo "$gpu, GPU-$gpu, 0, $(cat {folder}/$gpu)"; done
    sleep 0.1
done
"""


@pytest.fixture(scope="module")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have an `nvidia-smi` that says of each GPU the MiB that a file of its number holds."""
    folder = tmp_path_factory.mktemp("gpus")
    for gpu in "012":
        (folder / gpu).write_text("3")
    program = folder / "nvidia-smi"
    program.write_text(SMI.format(folder=folder))
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield folder


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory, gpus: Path) -> Iterator[RhapsodyExecutor]:
    stand_in: dict[str, Any] = {"cores": 0, "server": "command", "executable": COMMAND, "requests_in_flight": 4}
    services: list[CommandService | VLLMService] = [
        CommandService("web", SMALL, ready="http:/", cores=2),
        CommandService("later", (*SMALL, "1"), ready="http:/", cores=0, replicas=0),
        VLLMService("model", f"model-{os.getpid()}", replicas=2, **stand_in),
        VLLMService("grows", f"grows-{os.getpid()}", replicas=(0, 3), requests_per_replica=4, idle_timeout=1, **GROWS),
        VLLMService("lends", f"lends-{os.getpid()}", **LENDS, **stand_in),
        VLLMService("sleeps", f"sleeps-{os.getpid()}", sleep=600, **LENDS, **stand_in),
    ]
    made = RhapsodyExecutor(
        label="life",
        runtimes=[LocalRuntime(), MPIRuntime()],
        services=services,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=4,
        gpus_per_node=3,  # declared: what is here is a stand-in
    )
    folder = tmp_path_factory.mktemp("life")
    config = Config(executors=[made], run_dir=str(folder), strategy="none", usage_tracking=0, initialize_logging=False)
    with leaks.watch(), parsl.load(config):
        for name in ("web", "model"):
            made.services[name].wait_ready(TIMEOUT)
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): servers come and go."""


def cores(executor: RhapsodyExecutor) -> int:
    """Return the cores of the largest node that tasks can have."""
    (block,) = executor.view().blocks
    return block.nodes[0].cores


def test_what_a_service_is_is_told_at_the_driver(executor: RhapsodyExecutor) -> None:
    web = executor.services["web"]
    status = web.status()
    assert (status.state, status.replicas, status.ready) == ("ready", 1, 1)
    assert web.url == found("web").result(TIMEOUT) == status.blocks["0"].url
    (log,) = web.logs(1).values()
    assert log == f"listening on {web.url.rpartition(':')[2]}\n"
    with pytest.raises(ServiceNotFound, match="Did you mean 'web'"):
        executor.services["wbe"]
    assert list(executor.services) == ["web", "later", "model", "grows", "lends", "sleeps"]


def test_what_a_stopped_service_held_is_the_tasks_and_taken_again(executor: RhapsodyExecutor) -> None:
    web = executor.services["web"]
    with pytest.raises(InvalidTask, match="the largest node has 2 for tasks"):
        held(0, parsl_resource_specification={"cores": 4}).result(TIMEOUT)
    web.stop()
    web.wait_stopped(TIMEOUT)
    until(lambda: cores(executor) == 4)
    error = found("web").exception(TIMEOUT)
    assert isinstance(error, ServiceFailed)
    assert "it was stopped; executor.services['web'].start() starts it again" in str(error)
    task = held(1.0, parsl_resource_specification={"cores": 4})
    until(lambda: any(len(lease.shares[0].cores) == 4 for block in executor.view().blocks for lease in block.leases))
    others = [held(0.3, parsl_resource_specification={"cores": 3}) for _ in range(4)]
    web.start()
    assert "waits until 2 cores are free" in until(lambda: web.status().blocks["0"].detail)
    web.wait_ready(TIMEOUT)
    assert not others[-1].done(), "the service comes before tasks that wait"
    assert task.done()
    web.stop()
    assert all(other.result(TIMEOUT) for other in others)
    web.start()
    web.wait_ready(TIMEOUT)


def test_a_task_waits_for_a_service_that_starts(executor: RhapsodyExecutor) -> None:
    later = executor.services["later"]
    assert later.status().state == "stopped"
    later.start()
    assert found("later").result(TIMEOUT) == later.url
    assert later.url
    later.restart()
    with pytest.raises(ServiceNotReady, match="timeout=0 s"):
        later.wait_ready(0)
    later.wait_ready(TIMEOUT)
    later.stop()


def test_services_are_added_while_the_block_runs(executor: RhapsodyExecutor) -> None:
    with pytest.raises(InvalidTask, match="two services have one name"):
        executor.services.add(CommandService("web", SMALL))
    added = executor.services.add(CommandService("added", SMALL, ready="http:/"))
    assert found("added").result(TIMEOUT)
    added.wait_ready(TIMEOUT)
    with pytest.raises(ServiceFailed) as caught:
        added.scale(5)
    room = cores(executor)  # what `web` has had since the block's start is not counted, what it has taken again is
    assert f"no room for 5 replicas (1 cores each): it has room for {room} of them at most" in str(caught.value)
    assert added.status().replicas == 1
    added.stop()
    added.wait_stopped(TIMEOUT)


def test_a_block_that_comes_later_has_what_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    services = [CommandService(name, SMALL, ready="http:/", cores=0) for name in ("stopped", "scaled")]
    provider = LocalProvider(init_blocks=0, max_blocks=1)
    with RhapsodyExecutor("later", provider, runtimes=[LocalRuntime()], services=services, cores_per_node=1) as later:
        later.services["stopped"].stop()
        later.services["scaled"].scale(2)
        added = later.services.add(CommandService("added", SMALL, ready="http:/", cores=0))
        assert added.status().state == "waiting"
        assert later.submit(found.func, {}, "added").result(TIMEOUT)  # type: ignore[attr-defined]  # Parsl's app
        for name in ("added", "scaled"):
            later.services[name].wait_ready(TIMEOUT)
        assert later.services["scaled"].status().ready == 2
        assert later.services["stopped"].status().state == "stopped"


class Load:
    """Requests that come all the time, each with an answer of its own."""

    def __init__(self, service: str = "model") -> None:
        self.service = service
        self.futures: dict[str, AppFuture] = {}

    def more(self, count: int = 16) -> None:
        for _ in range(count):
            text = f"slow {len(self.futures)}"
            self.futures[text] = asked(text, self.service, max_tokens=1 + len(self.futures) % 4)

    def answered(self) -> int:
        return sum(future.done() for future in self.futures.values())

    def under_way(self) -> bool:
        """Whether some were answered, and some were not."""
        return 0 < self.answered() < len(self.futures)

    def launched(self) -> bool:
        """Whether Parsl has given all to the executor, which a thread of its own does."""
        return all(future.task_record["exec_fu"] for future in self.futures.values())

    def check(self) -> None:
        assert {text: future.result(TIMEOUT) for text, future in self.futures.items()} == {
            text: text[::-1] for text in self.futures
        }


def test_no_request_is_lost_by_scaling_and_restarts(executor: RhapsodyExecutor) -> None:
    model, load = executor.services["model"], Load()
    for replicas in (1, 3, 2, 1, 2):
        load.more()
        until(load.under_way)
        model.scale(replicas)
    load.more()
    model.restart()
    load.more()
    model.wait_ready(TIMEOUT)
    assert model.status().ready == 2
    load.check()


def test_a_service_that_is_stopped_answers_what_it_was_asked_before(executor: RhapsodyExecutor) -> None:
    model, load = executor.services["model"], Load()
    load.more(40)
    until(load.under_way)
    until(load.launched)
    model.stop()
    with pytest.raises(ServiceFailed, match="it was stopped"):
        asked("abc", "model").result(TIMEOUT)
    load.check()
    model.wait_stopped(TIMEOUT)
    model.start()
    assert asked("abc", "model").result(TIMEOUT) == "cba"


def test_without_drain_requests_fail_at_once(executor: RhapsodyExecutor) -> None:
    model, load = executor.services["model"], Load()
    model.wait_ready(TIMEOUT)
    load.more(40)
    until(load.under_way)
    model.stop(drain=False)
    errors = [future.exception(TIMEOUT) for future in load.futures.values()]
    assert {type(error) for error in errors} == {type(None), ServiceFailed}
    model.wait_stopped(TIMEOUT)
    model.start()
    model.wait_ready(TIMEOUT)


def test_kills_under_load_lose_nothing_while_the_service_is_scaled(executor: RhapsodyExecutor) -> None:
    model, load = executor.services["model"], Load()
    for kill in range(KILLS):
        answered = load.answered()
        load.more(8)
        until(lambda: load.answered() > answered)  # noqa: B023 - called here only
        model.scale(1 + kill % 3)
        time.sleep(random.uniform(0.05, 0.4))  # noqa: S311 - no secret; whenever
        if servers := below(f"model-{os.getpid()}"):
            random.choice(servers).kill()  # noqa: S311 - no secret
    load.check()


def test_requests_start_replicas_as_far_as_there_is_room_and_the_idle_ones_leave(executor: RhapsodyExecutor) -> None:
    grows = executor.services["grows"]
    assert (grows.status().state, grows.status().blocks["0"].detail) == ("stopped", "the first request starts it")
    assert asked("abc", "grows").result(TIMEOUT) == "cba"
    load = Load("grows")

    def has_grown() -> bool:
        if len(load.futures) - load.answered() < 20:
            load.more()
        return grows.status().ready == 2  # of three: the other two cores are leased

    until(has_grown)
    load.check()
    assert grows.status().ready <= 2
    grows.wait_stopped(TIMEOUT)
    assert held(0, parsl_resource_specification={"cores": 2}).result(TIMEOUT)
    with pytest.raises(ServiceFailed):
        grows.scale((5, 6))
    grows.stop()
    with pytest.raises(ServiceFailed, match="it was stopped"):
        asked("abc", "grows").result(TIMEOUT)
    grows.start()
    assert asked("abc", "grows").result(TIMEOUT) == "cba"


def grow(executor: RhapsodyExecutor, name: str) -> None:
    """Ask a service until it has three replicas."""
    load = Load(name)

    def has_grown() -> bool:
        if len(load.futures) - load.answered() < 12:
            load.more(4)
        return executor.services[name].status().ready == 3

    until(has_grown)
    load.check()


@pytest.mark.mpi
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="MPI is not installed")
def test_a_gang_has_the_gpus_of_three_replicas_that_sleep_and_they_wake(executor: RhapsodyExecutor) -> None:
    executor.services["web"].stop()  # it holds cores
    sleeps = executor.services["sleeps"]
    grow(executor, "sleeps")
    servers = {server.pid for server in below(f"sleeps-{os.getpid()}")}
    gang = ranks(parsl_resource_specification={"num_ranks": 3, "gpus_per_rank": 1})
    assert sorted(gang.result(TIMEOUT)) == ["0", "1", "2"]
    status = sleeps.status().blocks["0"]
    assert (status.state, status.replicas, status.gpus) == ("asleep", 0, 0)
    assert asked("abc", "sleeps").result(TIMEOUT) == "cba"
    grow(executor, "sleeps")
    assert {server.pid for server in below(f"sleeps-{os.getpid()}")} == servers, "none was started again"
    sleeps.stop()
    sleeps.wait_stopped(TIMEOUT)
    assert not below(f"sleeps-{os.getpid()}")


@pytest.mark.mpi
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="MPI is not installed")
def test_a_gang_has_the_gpus_of_three_idle_replicas_and_they_come_back(executor: RhapsodyExecutor) -> None:
    executor.services["web"].stop()  # it holds cores
    lends = executor.services["lends"]
    grow(executor, "lends")
    gang = ranks(parsl_resource_specification={"num_ranks": 3, "gpus_per_rank": 1})
    assert sorted(gang.result(TIMEOUT)) == ["0", "1", "2"]
    assert lends.status().state == "stopped"
    assert asked("abc", "lends").result(TIMEOUT) == "cba"
    lends.stop()


def test_a_gpu_is_lent_again_when_its_memory_is_seen_free(executor: RhapsodyExecutor, gpus: Path) -> None:
    def used() -> float:
        (block,) = executor.view().blocks
        return max((gpu.memory for node in block.use.values() for gpu in node.gpus), default=-1.0)

    until(lambda: used() == 0)
    name = f"holder-{os.getpid()}"
    holder = executor.services.add(VLLMService("holder", name, gpus=3, cores=0, server="command", executable=COMMAND))
    holder.wait_ready(TIMEOUT)
    (gpus / "1").write_text("40000")
    until(lambda: used() > 40)
    task = held(0, parsl_resource_specification={"gpus": 3})
    holder.stop()
    until(lambda: not below(name))
    with pytest.raises(TimeoutError):  # what is to come too early has this time for it
        task.result(0.5)
    status = holder.status().blocks["0"]
    assert (status.state, status.detail) == ("stopping", "its GPUs are not seen free yet")
    (gpus / "1").write_text("3")
    freed = time.time()
    assert task.result(TIMEOUT) > freed
    holder.wait_stopped(TIMEOUT)


def test_requests_follow_the_number_of_replicas(executor: RhapsodyExecutor) -> None:
    """Of four at a time per replica; more than any service had at the start."""
    model, load, seen = executor.services["model"], Load(), [0]

    def with_the_block() -> int:
        (block,) = executor.view().blocks
        seen.append(block.runtimes["vllm"].running)
        return seen[-1]

    model.scale(1)
    until(lambda: model.status().blocks["0"].ready == 1 and not model.status().blocks["0"].changing)
    load.more(12)
    until(lambda: with_the_block() or load.answered() == 12)
    until(lambda: with_the_block() == 0 and load.answered() == 12)
    assert max(seen) <= 4
    model.scale(5)
    model.wait_ready(TIMEOUT)
    load.more(120)
    until(lambda: with_the_block() > 12)
    model.scale(2)
    load.check()
