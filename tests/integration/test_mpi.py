"""Executables and functions over ranks, with real MPI, through the public API."""

import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from parsl import bash_app, python_app
from parsl.app.errors import BashExitFailure

from rhapsody_parsl import MPI, Policy, annotate
from rhapsody_parsl.errors import RuntimeLost, WalltimeExceeded, WorkerLost
from rhapsody_parsl.hosts import leftovers
from testing.processes import below, processes_of
from testing.waiting import alive
from tests.integration import found
from tests.integration.gangs import HUNG, TIMEOUT, loaded, nap, openmpi_provider, rank_one_dies, rank_one_fails, total

pytestmark = pytest.mark.mpi

PROGRAM = """
import json, os, sys
from mpi4py import MPI
comm = MPI.COMM_WORLD
me = (comm.rank, comm.size, sorted(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"])
everyone = comm.gather(me)
if comm.rank == 0:
    print(json.dumps(everyone))
"""


@pytest.fixture(scope="module", params=["mpich", "openmpi"])
def block(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    options = {"provider": openmpi_provider()} if request.param == "openmpi" else {}
    with loaded(tmp_path_factory.mktemp("mpi"), **options):
        assert python_app(total)(1).result(TIMEOUT) == 2
        yield


def ranks_alive() -> list[psutil.Process]:
    """The ranks below this process."""
    return processes_of("rhapsody_parsl.runtimes.mpi.world.rank")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


# --- launches --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
def test_launch_of_a_real_program(program: Path, tmp_path: Path) -> None:
    @bash_app
    @annotate(MPI(ranks=2, cores_per_rank=2))
    def launch(program: str, stdout: str = "") -> str:
        import sys

        return f"unset VIRTUAL_ENV; PATH=/usr/bin:/bin; $PARSL_MPI_PREFIX {sys.executable} {program}"

    out = tmp_path / "out"
    assert launch(str(program), stdout=str(out)).result(TIMEOUT) == 0
    said = json.loads(out.read_text())
    assert [(rank, size, threads) for rank, size, _, threads in said] == [(0, 2, "2"), (1, 2, "2")]


GROUPED = """
import json, os, sys
from mpi4py import MPI
comm = MPI.COMM_WORLD
me = (comm.rank, comm.Get_attr(MPI.APPNUM), sys.argv[1], os.environ.get("PART"), os.environ["RANK"])
everyone = comm.gather(me)
if comm.rank == 0:
    print(json.dumps(everyone))
"""


@pytest.mark.usefixtures("block")
def test_several_programs_are_one_gang(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(GROUPED)

    @bash_app
    @annotate(MPI(groups=[{"ranks": 2, "env": {"PART": "the ocean"}}, {"ranks": 1}]), Policy(output="text"))
    def coupled(program: str) -> str:
        import sys

        run = f"{sys.executable} {program}"
        return f"$PARSL_MPI_PREFIX {run} 'two words' : {run} other"

    said = json.loads(coupled(str(tmp_path / "program.py")).result(TIMEOUT).stdout)
    assert said == [
        [0, 0, "two words", "the ocean", "0"], [1, 0, "two words", "the ocean", "1"], [2, 1, "other", None, "2"],
    ]  # fmt: skip


@pytest.mark.usefixtures("block")
def test_variables_of_a_launch_are_for_it_alone() -> None:
    def names() -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if key.startswith("PARSL_")}

    three = python_app(names)(parsl_resource_specification={"num_ranks": 3, "launcher_options": "-l"}).result(TIMEOUT)
    two = python_app(names)(parsl_resource_specification={"num_ranks": 2}).result(TIMEOUT)
    assert (three["PARSL_NUM_RANKS"], three["PARSL_LAUNCHER_OPTIONS"]) == ("3", "-l")
    assert three["PARSL_MPI_PREFIX"].partition(" /bin/sh ")[0].endswith(" -l")
    assert " -n 3 " in three["PARSL_MPI_PREFIX"]
    assert two["PARSL_NUM_RANKS"] == "2"
    assert "PARSL_LAUNCHER_OPTIONS" not in two
    assert {"PARSL_MPIEXEC_PREFIX", "PARSL_SRUN_PREFIX", "PARSL_APRUN_PREFIX", "PARSL_MPI_NODELIST"} <= set(two)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(("end", "code", "how"), [("exit 5", 5, r"code:?\s+5"), ("kill -9 $$", 137, r"signal 9")])
def test_a_rank_that_fails_is_named_and_ends_the_others(end: str, code: int, how: str) -> None:
    @bash_app
    @annotate(MPI(ranks=2), Policy(output="text"))
    def launch(end: str) -> str:
        return f"$PARSL_MPI_PREFIX sh -c '[ $RANK = 0 ] && exec sleep 100; {end}'"

    error = launch(end).exception(HUNG)
    assert isinstance(error, BashExitFailure)
    assert error.exitcode == code
    assert re.search(rf"(rank |@\d+,)1\b.*{how}", error.__notes__[-1], re.DOTALL)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("block", ["mpich"], indirect=True)
def test_by_choice_the_other_ranks_go_on() -> None:
    @bash_app
    @annotate(MPI(ranks=2, launcher_options="-disable-auto-cleanup"), Policy(output="text", check=False))
    def launch() -> str:
        return "$PARSL_MPI_PREFIX sh -c '[ $RANK = 1 ] && exit 5; sleep 1; echo went on'"

    done = launch().result(TIMEOUT)
    assert (done.returncode, done.stdout) == (5, "went on\n")


@pytest.mark.usefixtures("block")
def test_walltime_of_a_launch_ends_its_ranks() -> None:
    @bash_app
    @annotate(MPI(ranks=2), Policy(walltime=1.5))
    def long() -> str:
        return "$PARSL_MPI_PREFIX sleep 54321"

    with pytest.raises(WalltimeExceeded):
        long().result(TIMEOUT)
    sleepers = below("sleep 54321")
    assert not psutil.wait_procs(sleepers, timeout=5)[1]


# --- functions -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("block", ["mpich"], indirect=True)
def test_two_thousand_functions() -> None:
    app = python_app(total)
    futures = [app(number) for number in range(2000)]
    assert [future.result(TIMEOUT) for future in futures] == [2 * number for number in range(2000)]


@pytest.mark.usefixtures("block")
def test_the_results_of_all_ranks() -> None:
    @python_app
    @annotate(MPI(ranks=4), Policy(returns="all"))
    def squares(comm: Any = None) -> tuple[int, int]:
        return comm.rank**2, comm.size

    assert squares().result(TIMEOUT) == [(0, 4), (1, 4), (4, 4), (9, 4)]


@pytest.mark.usefixtures("block")
def test_the_same_function_without_a_gang_of_its_own_size() -> None:
    assert python_app(total)(3, parsl_resource_specification={"num_ranks": 3}).result(TIMEOUT) == 9


@pytest.mark.usefixtures("block")
def test_each_rank_is_pinned_to_its_part_of_the_lease() -> None:
    """Declared core i stands on real core i modulo what is there; two jobs hold four declared cores."""
    real = sorted(psutil.Process().cpu_affinity())
    first, second = python_app(nap)(1), python_app(nap)(1)
    expected = sorted([real[core % len(real)]] for core in range(4))
    assert sorted(first.result(TIMEOUT) + second.result(TIMEOUT)) == expected


@pytest.mark.usefixtures("block")
def test_a_message_nobody_took_meets_no_other_task() -> None:
    @python_app
    @annotate(MPI(ranks=2))
    def careless(number: int, comm: Any = None) -> int:
        if comm.rank == 0:
            comm.isend(f"stale {number}", 1, tag=0)
        return number

    @python_app
    @annotate(MPI(ranks=2))
    def careful(number: int, comm: Any = None) -> Any:
        if comm.rank == 0:
            comm.send(number, 1, tag=0)
            return comm.recv(source=1)
        return comm.send(comm.recv(source=0), 0)

    for number in range(40):
        careless(number).result(TIMEOUT)
        assert careful(number).result(TIMEOUT) == number


@pytest.mark.usefixtures("block")
def test_isolation_gives_each_task_ranks_of_its_own() -> None:
    @python_app
    @annotate(MPI(ranks=2), Policy(isolation="process", returns="all"))
    def who(comm: Any = None) -> tuple[int, int]:
        return os.getpid(), comm.size

    futures = [who() for _ in range(2)]
    answers = [answer for future in futures for answer in future.result(TIMEOUT)]
    assert len({pid for pid, _ in answers}) == 4
    assert {size for _, size in answers} == {2}
    assert not any(alive(pid) for pid, _ in answers)


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
def test_a_failing_rank_is_named_and_the_others_do_not_hang() -> None:
    began = time.monotonic()
    with pytest.raises(KeyError, match="not here") as caught:
        python_app(rank_one_fails)().result(TIMEOUT)
    assert time.monotonic() - began < HUNG
    assert f"Raised by rank 1 of 2 on {socket.gethostname()}." in caught.value.__notes__
    assert any(entry.name == "rank_one_fails" for entry in caught.traceback)
    assert python_app(total)(4).result(HUNG) == 8


@pytest.mark.usefixtures("block")
def test_a_hung_gang_leaves_the_others_alone() -> None:
    other = python_app(nap)(4)
    time.sleep(0.5)
    began = time.monotonic()
    with pytest.raises(KeyError):
        python_app(rank_one_fails)().result(TIMEOUT)
    assert python_app(total)(1).result(TIMEOUT) == 2
    assert other.result(TIMEOUT) or time.monotonic() - began > 3


@pytest.mark.usefixtures("block")
def test_all_ranks_fail_and_the_world_stays() -> None:
    @python_app
    @annotate(MPI(ranks=2))
    def both_fail(comm: Any = None) -> None:
        raise ValueError(comm.rank)

    python_app(total)(1).result(TIMEOUT)
    before = {process.pid for process in ranks_alive()}
    for _ in range(20):
        with pytest.raises(ValueError, match="0"):
            both_fail().result(TIMEOUT)
    assert python_app(total)(5).result(TIMEOUT) == 10
    assert {process.pid for process in ranks_alive()} == before


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("returns", ["root", "all"])
def test_a_result_that_cannot_travel(returns: str) -> None:
    @python_app
    @annotate(MPI(ranks=2), {"returns": returns})
    def stuck(comm: Any = None) -> Any:
        return (number for number in range(3)) if comm.rank == (0 if returns == "root" else 1) else 1

    with pytest.raises(Exception, match="could not be serialized"):
        stuck().result(TIMEOUT)
    assert python_app(total)(5).result(TIMEOUT) == 10


@pytest.mark.usefixtures("block")
def test_a_dying_rank_is_a_lost_worker() -> None:
    with pytest.raises(WorkerLost, match="rank_one_dies"):
        python_app(rank_one_dies)().result(TIMEOUT)
    assert python_app(total)(4).result(TIMEOUT) == 8


def dying_and_other(dying_first: bool) -> tuple[BaseException | None, BaseException | None]:
    """Return what a task is told of which a rank dies, and one beside it in the same world."""
    calls = {"dying": lambda: python_app(rank_one_dies)(1), "other": lambda: python_app(nap)(30)}
    futures = {}
    for which in sorted(calls, reverse=not dying_first):
        futures[which] = calls[which]()
        time.sleep(0.3)
    return futures["dying"].exception(TIMEOUT), futures["other"].exception(TIMEOUT)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("dying_first", [False, True])
def test_a_dying_rank_takes_its_world_and_each_task_knows_why(dying_first: bool) -> None:
    # On a busy machine the launcher may end the others before the pilot has seen the first.
    tries = (dying_and_other(dying_first) for _ in range(3))
    assert any(isinstance(dying, WorkerLost) and isinstance(other, RuntimeLost) for dying, other in tries)
    again = python_app(nap)(0.1, parsl_resource_specification={"on_loss": "rerun"})
    assert again.result(TIMEOUT)


@pytest.mark.usefixtures("block")
def test_walltime_of_a_function() -> None:
    began = time.monotonic()
    with pytest.raises(WalltimeExceeded):
        python_app(nap)(60, parsl_resource_specification={"walltime": 1}).result(TIMEOUT)
    assert time.monotonic() - began < 1 + HUNG
    assert python_app(total)(4).result(TIMEOUT) == 8


# --- programs that ranks start ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
def test_programs_that_a_rank_starts_are_worlds_of_their_own() -> None:
    """Alone it is a world of one; by the launch line one over the lease of the rank's gang."""
    code = "from mpi4py import MPI; import sys; sys.stdout.write(f'{MPI.COMM_WORLD.size}\\n')"
    app = python_app(annotate(MPI(ranks=2))(found.worlds))
    assert app("PARSL_MPI_PREFIX", code).result(TIMEOUT) == ["1\n", "2\n2\n"]
    assert python_app(total)(2).result(TIMEOUT) == 4
    leftovers.sweep_memory()  # what Open MPI leaves of a world of one
    shutil.rmtree(Path(tempfile.gettempdir(), f"ompi.{os.uname().nodename}.{os.getuid()}"), ignore_errors=True)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(("given", "said"), [("", ["got", "got"]), ("word", ["got", "got", "word"])])
def test_launched_ranks_find_the_end_of_their_input(given: str, said: list[str], tmp_path: Path) -> None:
    """The first rank has what the launcher is given; nobody waits for more."""

    @bash_app
    @annotate(MPI(ranks=2))
    def launch(redirection: str, stdout: str = "") -> str:
        return f"$PARSL_MPI_PREFIX sh -c 'read -r word; echo got $word' {redirection}"

    (tmp_path / "in").write_text(f"{given}\n")
    out = tmp_path / "out"
    assert launch(f"< {tmp_path / 'in'}" if given else "", stdout=str(out)).result(TIMEOUT) == 0
    assert sorted(out.read_text().split()) == said
