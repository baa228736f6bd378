"""The forms that people give their apps: on each way that a task's process comes to be."""

import asyncio
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, bash_app, python_app
from parsl.app.errors import AppTimeout, BashExitFailure
from parsl.executors.errors import InvalidResourceSpecification

from rhapsody_parsl import Completed, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService, stream
from rhapsody_parsl.errors import WalltimeExceeded
from testing.fake_openai import COMMAND
from tests.integration import apps, written

TIMEOUT = 60
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "local, fresh": {"runtime": "local", "isolation": "process"},
    "dragon": {"runtime": "dragon"},
    "ranks": {"num_ranks": 2},
    "launch": {"runtime": "mpi", "num_ranks": 1},
}
MARKS = {"dragon": pytest.mark.dragon, "ranks": pytest.mark.mpi, "launch": pytest.mark.mpi}
EACH_WAY = [pytest.param(WAYS[way], id=way, marks=MARKS.get(way, ())) for way in WAYS]
PROGRAMS = [pytest.param(WAYS[way], id=way, marks=MARKS.get(way, ())) for way in WAYS if way != "ranks"]
TEXT = {"output": "text"}


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of all runtimes; each starts with the first test that wants it."""
    runtimes = [LocalRuntime(), DragonRuntime(), MPIRuntime()]
    model = VLLMService("assistant", model="m", cores=0, server="command", executable=COMMAND)
    executor = RhapsodyExecutor(
        label="all", runtimes=runtimes, services=[model], default_runtime="local", cores_per_node=2
    )
    folder = str(tmp_path_factory.mktemp("written"))
    with parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


def _without_comm(way: dict[str, Any]) -> bool:
    return way == WAYS["launch"]


@pytest.mark.parametrize("way", EACH_WAY)
def test_async_def(way: dict[str, Any], block: RhapsodyExecutor) -> None:
    function = written.Doubler().method if _without_comm(way) else written.doubled
    assert block.submit(function, dict(way), 21).result(TIMEOUT) == 42


@pytest.mark.parametrize("form", written.FORMS)
def test_what_parsl_takes_for_an_app_works(form: str, block: RhapsodyExecutor) -> None:
    assert python_app(written.FORMS[form])(21).result(TIMEOUT) == 42


@pytest.mark.parametrize("form", sorted(set(written.FORMS) - {"builtin"}))  # it makes no text
def test_what_parsl_takes_for_an_app_is_the_body_of_a_request(form: str, block: RhapsodyExecutor) -> None:
    body = python_app(written.FORMS[form])
    assert body("ab", parsl_resource_specification={"service": "assistant"}).result(TIMEOUT) == "baba"  # reversed


def test_bodies_of_requests_have_variables_and_folders_of_their_own(block: RhapsodyExecutor, tmp_path: Path) -> None:
    body = python_app(written.surroundings)
    wanted: list[dict[str, Any]] = [{}, {"env": {"MESH": "fine"}, "cwd": str(tmp_path)}, {"sandbox": True}]
    futures = [body(parsl_resource_specification={"service": "assistant", **keys}) for keys in wanted * 3]
    plain, changed, apart = ({future.result(TIMEOUT)[::-1] for future in futures[kind::3]} for kind in range(3))
    assert plain == {f"None {os.getcwd()} None"}
    assert changed == {f"fine {tmp_path} None"}
    folders = [set(said.split()[1:]) for said in apart]
    assert [len(folder) for folder in folders] == [1, 1, 1]  # it stands in it, and three have three
    assert not any(Path(name).exists() for folder in folders for name in folder)


@pytest.mark.mpi
@pytest.mark.parametrize("form", written.GENERATORS)
def test_generators_under_whatever_is_around_them_on_ranks(form: str, block: RhapsodyExecutor) -> None:
    future = block.submit(written.GENERATORS[form], {"num_ranks": 2}, 3)
    assert [*stream(future), future.result(TIMEOUT)] == [0, 1, 2, 3]


@pytest.mark.mpi
def test_ranks_find_comm_in_a_partial(block: RhapsodyExecutor) -> None:
    assert block.submit(functools.partial(apps.rank_sum), {"num_ranks": 2}).result(TIMEOUT) == 2


def test_what_a_coroutine_raises_is_raised(block: RhapsodyExecutor) -> None:
    with pytest.raises(KeyError, match="awaited"):
        python_app(written.fails)().result(TIMEOUT)


def test_walltime_of_ours_and_of_parsls(block: RhapsodyExecutor) -> None:
    with pytest.raises(WalltimeExceeded):
        block.submit(written.waits, {"walltime": 0.3}, 100).result(TIMEOUT)
    with pytest.raises(AppTimeout):
        python_app(written.waits)(100, walltime=0.2).result(TIMEOUT)


def test_cancelled_while_it_waits(block: RhapsodyExecutor) -> None:
    future = block.submit(written.waits, {}, 100)
    assert future.cancel()
    assert block.submit(written.doubled, {"cores": 2}, 1).result(TIMEOUT) == 2


def test_children_of_a_coroutine_are_those_of_a_task(block: RhapsodyExecutor) -> None:
    code, program = block.submit(written.forks_and_leaves_more, {}).result(TIMEOUT)
    assert code == 0
    assert not psutil.pid_exists(program)


def test_await_of_an_app_future(block: RhapsodyExecutor) -> None:
    async def main() -> None:
        double = python_app(written.doubled)
        assert await asyncio.gather(*(asyncio.wrap_future(double(number)) for number in range(4))) == [0, 2, 4, 6]

    asyncio.run(main())


@pytest.mark.parametrize("way", PROGRAMS)
def test_text_and_exit_code_of_a_program(way: dict[str, Any], block: RhapsodyExecutor) -> None:
    wanted = {**way, **TEXT, "check": False, "output_limit": 4}
    value = bash_app(apps.shell)("echo words; echo no >&2; exit 3", parsl_resource_specification=wanted).result(TIMEOUT)
    assert value == Completed(3, "rds\n", "no\n", 6, 3, 4)


@pytest.mark.mpi
def test_text_of_a_launch_over_ranks(block: RhapsodyExecutor, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ranks = {"num_ranks": 2, **TEXT}
    launch = bash_app(apps.shell)(
        "$PARSL_MPI_PREFIX echo from a rank", stdout=str(out), parsl_resource_specification=ranks
    )
    value = launch.result(TIMEOUT)
    assert (value.stdout, value.returncode, value.truncated) == ("from a rank\n" * 2, 0, False)
    assert out.read_text() == value.stdout


def test_a_program_that_fails_says_its_last_words(block: RhapsodyExecutor) -> None:
    with pytest.raises(BashExitFailure) as caught:
        bash_app(apps.shell)("echo why >&2; exit 3", parsl_resource_specification=TEXT).result(TIMEOUT)
    assert caught.value.exitcode == 3
    assert any("why" in note for note in caught.value.__notes__)


def test_only_a_bash_app_has_text(block: RhapsodyExecutor) -> None:
    with pytest.raises(InvalidResourceSpecification, match="only a bash app runs one program"):
        block.submit(apps.add, TEXT, 1)
