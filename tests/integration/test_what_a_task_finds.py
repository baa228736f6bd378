"""The contract of `docs/what_a_task_finds.md` as a table: property x way that a task's process comes to be."""

import json
import os
import resource
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, bash_app
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import FolderUnusable, WorkerLost
from testing.fake_openai import COMMAND
from tests.integration import apps, found

TIMEOUT = 90
CARELESS_PARENT = """
trap '' HUP INT QUIT PIPE CHLD TTIN
umask 027
export LD_LIBRARY_PATH=/none/of/ours
env -0 > {0}
"""
"""A block that is started as `nohup`, background jobs and some launchers do it."""
OF_A_TASK = ("PARSL_", "RHAPSODY_SERVICE", "OPENAI_", "DRAGON_", "OMP_NUM_THREADS", *found.RENDEZVOUS)
"""What a task's environment has beside the block's: `docs/what_a_task_finds.md` names it."""
OF_A_SHELL = ("_", "SHLVL", "PWD", "OLDPWD", "CORES", "JOBNAME")
"""What shells set, and Parsl's launcher and provider after `worker_init`."""
found_by_shells: dict[str, Path] = {}
"""What each block's shell found, by the block's label."""
RANKS: dict[str, Any] = {"num_ranks": 2}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "local": ("local", {}),
    "local, fresh": ("local", {"isolation": "process"}),
    "dragon": ("dragon", {}),
    "dragon, fresh": ("dragon", {"isolation": "process"}),
    "launch": ("mpi", {"num_ranks": 1}),
    "ranks": ("mpi", RANKS),
    "ranks, fresh": ("mpi", {**RANKS, "isolation": "process"}),
}
SHARED = ("local", "dragon", "launch", "ranks")
MARKS = {"dragon": pytest.mark.dragon, "launch": pytest.mark.mpi, "ranks": pytest.mark.mpi}


def _param(way: str) -> Any:
    mark = MARKS.get(way.partition(",")[0])
    return pytest.param(way, marks=mark) if mark else way


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RhapsodyExecutor]]:
    """A block of each runtime; those of MPI and Dragon start with the first test that wants them."""
    folder = tmp_path_factory.mktemp("found")
    service = VLLMService("fake", model="m", cores=0, server="command", executable=COMMAND)
    runtimes: dict[str, Any] = {"local": [LocalRuntime()]}
    runtimes |= {"dragon": [DragonRuntime()], "mpi": [MPIRuntime()]}
    executors = [
        RhapsodyExecutor(
            label=label,
            runtimes=own,
            services=[service] if label == "local" else [],
            cores_per_node=2,
            provider=LocalProvider(
                init_blocks=1, max_blocks=1, worker_init=CARELESS_PARENT.format(folder / f"{label}.environment")
            ),
        )
        for label, own in runtimes.items()
    ]
    with parsl.load(Config(executors=executors, run_dir=str(folder), initialize_logging=False)):
        found_by_shells.update({label: folder / f"{label}.environment" for label in runtimes})
        yield {executor.label: executor for executor in executors}


def _without_comm(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as one that is launched once: `comm` is what makes a function one for ranks."""
    alone: dict[str, Any] = {}
    exec(f"def {function.__name__}(*args): return function(*args)", {"function": function}, alone)  # noqa: S102 - ours
    return alone[function.__name__]  # type: ignore[no-any-return]  # it is one


def _added(environment: dict[str, str], label: str) -> dict[str, tuple[str | None, str | None]]:
    """Return what a task's environment has otherwise than the shell that became its block."""
    entries = (entry.partition("=") for entry in found_by_shells[label].read_text().split("\0") if entry)
    blocks = {name: value for name, _, value in entries}
    names = (name for name in blocks.keys() | environment.keys() if not name.startswith(OF_A_TASK))
    return {
        name: (blocks.get(name), environment.get(name))
        for name in names
        if blocks.get(name) != environment.get(name) and name not in OF_A_SHELL
    }


class Way:
    """A way that a task's process comes to be."""

    def __init__(self, name: str, blocks: dict[str, RhapsodyExecutor]) -> None:
        self.name = name
        label, self._keys = WAYS[name]
        self._executor = blocks[label]
        self.label = label

    def call(self, function: Callable[..., Any], *args: Any, **policy: Any) -> Any:
        takes_comm = self.name.startswith("ranks")
        wanted = function if takes_comm else _without_comm(function)
        return self._executor.submit(wanted, {**self._keys, **policy}, *args).result(TIMEOUT)


@pytest.fixture(params=[_param(way) for way in WAYS])
def way(request: pytest.FixtureRequest, blocks: dict[str, RhapsodyExecutor]) -> Way:
    return Way(request.param, blocks)


def _check(seen: dict[str, Any], label: str) -> None:
    """Hold what a task found against the contract."""
    basics = seen["basics"]
    assert basics["interrupts"]
    assert {basics["handlers"][name] for name in found.SIGNALS if name not in ("SIGINT", "SIGPIPE")} == {"0"}
    assert basics["handlers"]["SIGPIPE"] == "1", "as in any Python"
    assert basics["mask"] == []
    assert basics["argv"] == [""]
    assert (basics["cwd"], basics["umask"], basics["home"]) == (os.getcwd(), 0o027, os.environ["HOME"])
    assert basics["stdin"] == ""
    assert basics["world"] == []
    assert basics["main"] == []
    assert _added(basics["environment"], label) == {}
    assert ("DRAGON_MY_PUID" in basics["environment"]) == (label == "dragon")
    assert basics["timers"] == [0, 0]
    assert basics["files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert basics["deep"] == 1000
    assert basics["says"][0] == os.devnull
    assert os.devnull not in basics["says"][1:]
    for way, told in seen["programs"].items():
        assert told == {"SigBlk": 0, "SigIgn": 0, "fds": [], "read": ["0"], "world": []}, way
    assert seen["open"] == []
    assert seen["thread"] == [0]


def test_what_a_task_finds(way: Way) -> None:
    _check(way.call(found.finds), way.label)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two declared cores are one")
@pytest.mark.parametrize("name", [_param("local"), _param("dragon")])
def test_a_process_has_the_cores_of_each_task(name: str, blocks: dict[str, RhapsodyExecutor], tmp_path: Path) -> None:
    go, keys = tmp_path / "go", {"runtime": name}
    first = blocks[name].submit(found.has_cores, {**keys, "cores": 2}, str(go))
    asked = [1 + number % 2 for number in range(12)]
    others = [
        blocks[name].submit(found.has_cores, {**keys, "cores": cores, "priority": place})
        for place, cores in enumerate(asked)
    ]
    go.touch()
    seen = [future.result(TIMEOUT) for future in (first, *others)]
    assert [each[1:] for each in seen] == [(cores, str(cores)) for cores in (2, *asked)]
    both = [{cores for process, cores, _ in seen if process == which} for which, *_ in seen]
    assert {1, 2} in both, "no process has had tasks of both kinds"


def test_env_and_cwd_of_the_policy(way: Way, tmp_path: Path) -> None:
    own = {"OF_THE_TASK": "yes", "OMP_NUM_THREADS": "7"}
    seen = way.call(found.where_it_is, env=own, cwd=str(tmp_path))
    assert seen["cwd"] == str(tmp_path)
    assert seen["programs"] == [str(tmp_path), "yes"]
    assert seen["variables"] == {**own, "RHAPSODY_SANDBOX": None}
    with pytest.raises(FolderUnusable, match="No such file"):
        way.call(found.where_it_is, cwd=str(tmp_path / "none"))
    after = way.call(found.where_it_is)
    assert (after["cwd"], after["variables"]["OF_THE_TASK"]) == (os.getcwd(), None)
    for mine in Path.cwd().glob("left-*"):
        mine.unlink()


def test_a_sandbox_is_a_new_folder_that_stays_when_the_task_fails(way: Way, tmp_path: Path) -> None:
    first, second = (way.call(found.where_it_is, cwd=str(tmp_path), sandbox=True) for _ in range(2))
    assert first["cwd"] != second["cwd"]
    assert first["variables"]["RHAPSODY_SANDBOX"] == first["cwd"] == first["programs"][0]
    assert Path(first["cwd"]).parent == tmp_path
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="as wanted") as caught:
        way.call(found.where_it_is, True, cwd=str(tmp_path), sandbox=True)
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("where_it_is-")
    assert any(str(kept) in note for note in caught.value.__notes__)
    assert len(os.listdir(kept)) == (2 if way.name.startswith("ranks") else 1)


def test_sandboxes_are_in_the_run_directory(blocks: dict[str, RhapsodyExecutor]) -> None:
    executor = blocks["local"]
    cwd = executor.submit(found.where_it_is, {"sandbox": True}).result(TIMEOUT)["cwd"]
    assert Path(cwd).parent == Path(executor.run_dir).absolute() / "local" / "block-0" / "sandboxes"
    assert not Path(cwd).exists()


def test_a_forked_child_is_only_a_child(way: Way) -> None:
    codes = {how: way.call(found.forks, how) for how in ("sys.exit", "os._exit", "raise", "words", "return")}
    assert codes == {"sys.exit": 5, "os._exit": 7, "raise": 1, "words": 1, "return": 0}


def test_what_runs_on_is_gone_when_the_result_is_there(way: Way) -> None:
    pids = way.call(found.leaves_running)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_signals_and_pipes(way: Way) -> None:
    assert way.call(found.interrupts_itself) == "interrupted"
    assert way.call(found.ends_a_pipe) == ["BrokenPipeError", "141"]


def test_multiprocessing_in_each_start_method(way: Way) -> None:
    assert way.call(found.pools) == {method: [3.0, []] for method in ("spawn", "forkserver", "fork")}


@pytest.mark.parametrize("name", [_param(way) for way in SHARED])
def test_a_careless_task_harms_none_that_follows(
    name: str, blocks: dict[str, RhapsodyExecutor], tmp_path: Path
) -> None:
    way = Way(name, blocks)
    cores = way.call(found.basics_alone)["cores"]
    careless = {way.call(found.is_careless, str(tmp_path)) for _ in range(4)}
    after = [way.call(found.finds) for _ in range(2)]
    assert careless & {seen["pid"] for seen in after}, "no process was met again"
    for seen in after:
        assert seen["basics"]["cores"] == cores
        _check({**seen, "open": []}, way.label)  # what multiprocessing opened in an earlier test is not ours


@pytest.mark.parametrize("name", [_param(way) for way in SHARED])
def test_who_cannot_be_put_right_meets_no_other_task(name: str, blocks: dict[str, RhapsodyExecutor]) -> None:
    way = Way(name, blocks)
    way.call(found.lowers_for_good)
    assert [way.call(found.basics_alone)["files"] for _ in range(2)] == [
        resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    ] * 2


@pytest.mark.parametrize("name", [_param(way) for way in SHARED])
@pytest.mark.parametrize("harms", [found.ends_its_group, found.closes_all])
def test_who_harms_its_own_process_is_lost_alone(
    name: str, harms: Callable[..., Any], blocks: dict[str, RhapsodyExecutor]
) -> None:
    way = Way(name, blocks)
    beside = blocks[way.label].submit(found.waits, {"runtime": way.label} if way.label != "mpi" else {"num_ranks": 1})
    with pytest.raises(WorkerLost):
        way.call(harms)
    assert beside.result(TIMEOUT) == "waited"


@pytest.mark.dragon
def test_dragons_own_primitives(blocks: dict[str, RhapsodyExecutor]) -> None:
    """They need the process that Dragon started; one below it is told so at once."""
    assert Way("dragon", blocks).call(found.uses_dragon) == ["from a child", 3]
    with pytest.raises(Exception, match="Launch parameter not initialized"):
        Way("dragon, fresh", blocks).call(found.uses_dragon)


def test_a_function_that_came_by_value_uses_multiprocessing(blocks: dict[str, RhapsodyExecutor]) -> None:
    def square(number: int, result: Any) -> None:
        result.value = number * number

    def task() -> int:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        result = context.Value("i")
        child = context.Process(target=square, args=(7, result))
        child.start()
        child.join()
        return int(result.value)

    assert blocks["local"].submit(task, {}).result(TIMEOUT) == 49


def test_a_fresh_process_is_not_kept_by_its_threads(blocks: dict[str, RhapsodyExecutor]) -> None:
    def task() -> str:
        import threading
        import time

        threading.Thread(target=time.sleep, args=(300,)).start()
        return "over"

    assert blocks["local"].submit(task, {"isolation": "process"}).result(30) == "over"


@pytest.mark.parametrize("label", ["local", pytest.param("dragon", marks=pytest.mark.dragon)])
def test_bash(label: str, blocks: dict[str, RhapsodyExecutor], tmp_path: Path) -> None:
    out, pids = tmp_path / "out", tmp_path / "pids"
    look = f"({found.LOOK}); true"  # by a shell of its own: bash itself ignores SIGQUIT
    line = f"sh -c {shlex.quote(look)}\nsleep 100 & echo $! > {pids}\nsetsid sleep 100 & echo $! >> {pids}"
    assert bash_app(apps.shell, executors=[label])(line, stdout=str(out)).result(TIMEOUT) == 0
    assert found.read(out.read_text()) == {"SigBlk": 0, "SigIgn": 0, "fds": [], "read": ["0"], "world": []}
    assert not [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]


def test_what_bash_writes_through_a_pipe_is_all_there(blocks: dict[str, RhapsodyExecutor], tmp_path: Path) -> None:
    """The shell waits for no process substitution; what is just ending may end by itself."""
    out = tmp_path / "out"
    line = f"exec > >(sleep 0.05; tee {out} > /dev/null); seq 1000"
    assert bash_app(apps.shell, executors=["local"])(f"bash -c {shlex.quote(line)}").result(TIMEOUT) == 0
    assert len(out.read_text().split()) == 1000


def test_the_body_of_a_request(blocks: dict[str, RhapsodyExecutor], tmp_path: Path) -> None:
    out = tmp_path / "found"
    future = blocks["local"].submit(found.note_what_it_finds, {"service": "fake"}, str(out))
    assert future.result(TIMEOUT)
    _check(json.loads(out.read_text()), "local")
