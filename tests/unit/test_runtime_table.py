"""A runtime of somebody else's is known by its module, its entry point or its path, and goes by what it takes."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, Part, RhapsodyExecutor, annotate, runtime_table
from rhapsody_parsl.annotations.annotation import merge, parse
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import BlockConfig, read_config, write_config
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.admission import Admission, InvalidSpecification, default_of
from rhapsody_parsl.executors.explanation import explain
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.globus_compute.settings import InvalidSetting, read_runtimes
from rhapsody_parsl.runtime_table import find, names

SOURCE = """
from typing import ClassVar

from rhapsody_parsl import RuntimeConfig, Takes


class Jobs(RuntimeConfig, frozen=True, kw_only=True):
    name: ClassVar[str] = "jobs"
    takes: ClassVar[Takes] = Takes(single=True, ranks=True)
    implementation: ClassVar[str] = "somebodys:Pilots"
    queue: str = "short"


class Plain(RuntimeConfig, frozen=True, kw_only=True):
    name: ClassVar[str] = "plain"
    takes: ClassVar[Takes] = Takes(single=True, gpus=False, hosts=False)
    implementation: ClassVar[str] = "somebodys:Pilots"


number = 5
"""
FACTS = FunctionFacts("app", {}, False, False)


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a module of somebody's to import, and forget it afterwards."""
    (tmp_path / "somebodys.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("somebodys", None)


@pytest.fixture
def somebodys() -> Any:
    import somebodys  # type: ignore[import-not-found]  # the test's own

    return somebodys


def refusal(keys: dict[str, Any]) -> str:
    with pytest.raises(InvalidTask) as caught:
        parse(merge(keys))
    return str(caught.value)


def test_a_name_is_known_when_its_module_was_imported() -> None:
    assert refusal({"runtime": "jobs"}).startswith("runtime='jobs': allowed are dragon, mpi, vllm, local")
    import somebodys

    assert parse({"runtime": "jobs"})[0].runtime == "jobs"
    assert find("jobs") is somebodys.Jobs
    assert names() == ("dragon", "mpi", "vllm", "local", "jobs", "plain")


def test_a_name_is_known_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "rhapsody_parsl.runtimes"
    entries = [EntryPoint("jobs", "somebodys:Jobs", group), EntryPoint("old", "gone:Old", group)]
    monkeypatch.setattr(runtime_table, "entry_points", lambda group: entries)
    runtime_table._entries.cache_clear()
    try:
        assert "somebodys" not in sys.modules
        assert parse({"runtime": "jobs", "ranks_per_node": 2})[0].resources.num_ranks == 2
        assert refusal({"runtime": "old"}) == "runtime='old': gone:Old cannot be imported: No module named 'gone'."
    finally:
        runtime_table._entries.cache_clear()


@pytest.mark.parametrize(("path", "words"), [
    ("somebodys:Nothing", "cannot be imported: module 'somebodys' has no attribute 'Nothing'"),
    ("somebodys:number", "is no runtime's configuration. Name a subclass of RuntimeConfig"),
    ("nowhere:X", "cannot be imported: No module named 'nowhere'"),
])  # fmt: skip
def test_a_path_that_leads_to_none(path: str, words: str) -> None:
    assert words in refusal({"runtime": path})
    with pytest.raises(InvalidSetting) as caught:
        read_runtimes({path: None})
    assert words in str(caught.value)


def test_an_endpoints_yaml_names_a_path(somebodys: Any) -> None:
    given = {"somebodys:Jobs": {"queue": "long"}, "plain": None}
    assert read_runtimes(given) == (somebodys.Jobs(queue="long"), somebodys.Plain())


def test_a_name_is_given_once() -> None:
    with pytest.raises(TypeError, match=r"Mine cannot be called 'mpi', as rhapsody_parsl\.config:MPIRuntime is"):
        type("Mine", (runtime_table.RuntimeKind,), {"name": "mpi", "__slots__": ()})


def test_ranks_go_to_the_runtime_that_takes_them(somebodys: Any) -> None:
    def runtime_of(keys: dict[str, Any], *runtimes: Any, default: str = "") -> str:
        return Admission(runtimes, (), default or default_of(runtimes), 4).admit(FACTS, keys).spec.runtime

    jobs = somebodys.Jobs()
    assert runtime_of({"num_ranks": 2}, LocalRuntime(), jobs) == "jobs"
    assert runtime_of({"num_ranks": 2}, MPIRuntime(), jobs) == "jobs"  # the default takes ranks
    assert runtime_of({"num_ranks": 2}, jobs, MPIRuntime(), default="mpi") == "mpi"
    assert runtime_of({"num_ranks": 2}, LocalRuntime(), MPIRuntime(), jobs) == "mpi"
    with pytest.raises(InvalidSpecification, match="runtime='mpi': this executor has local"):
        runtime_of({"num_ranks": 2}, LocalRuntime())


def test_one_that_takes_both_goes_by_the_keys() -> None:
    import somebodys

    def resources(**keys: Any) -> Any:
        return parse({"runtime": somebodys.Jobs.name, **keys})[0].resources

    assert (resources(cores=3).cores, resources(cores=3).num_ranks) == (3, 0)
    assert resources(cores_per_rank=2).num_ranks == 1
    assert refusal({"runtime": "jobs", "cores": 1, "num_ranks": 2}).startswith("cores=1: an MPI task counts by rank")
    assert not parse({"runtime": "jobs", "num_ranks": 2}, comm=True)[0].comm


@pytest.mark.usefixtures("somebodys")
def test_what_it_does_not_take_is_refused() -> None:
    words = "takes no tasks with GPUs. Use another runtime"
    assert refusal({"runtime": "plain", "gpus": 1}) == f"gpus=1.0: runtime 'plain' {words}"
    assert "runtime 'plain' has no ranks" in refusal({"runtime": "plain", "num_ranks": 2})
    assert "runtime 'plain' asks no service" in refusal({"runtime": "plain", "service": "s"})


def test_the_default_is_asked_when_it_is_known(somebodys: Any) -> None:
    gate = Admission((somebodys.Plain(),), (), "plain", 1)
    with pytest.raises(InvalidSpecification, match="runtime 'plain' takes no tasks with GPUs"):
        gate.admit(FACTS, {"gpus": 1})


def test_one_that_works_on_the_first_host_has_its_tasks_there(somebodys: Any) -> None:
    def labels(runtime: str, **keys: Any) -> tuple[str, ...]:
        gate = Admission((somebodys.Plain(), LocalRuntime()), (), "local", 4)
        return gate.admit(FACTS, {"runtime": runtime, **keys}).spec.policy.labels

    assert labels("local") == ()
    assert labels("plain") == ("first_host",)
    assert labels("plain", labels=["ssd", "first_host"]) == ("ssd", "first_host")


def test_the_default_is_the_first_for_plain_tasks(somebodys: Any) -> None:
    assert default_of((MPIRuntime(), somebodys.Plain(), somebodys.Jobs())) == "plain"
    assert default_of((somebodys.Plain(), LocalRuntime(), DragonRuntime())) == "dragon"
    assert default_of((MPIRuntime(),)) == "mpi"


def test_an_explanation_names_it(somebodys: Any) -> None:
    runtimes = (LocalRuntime(), somebodys.Jobs())
    told = explain(Admission(runtimes, (), "local", 1), "local", (), [], spec={"num_ranks": 2}, keys={})
    assert told.runtime == "jobs"
    assert "rank or node keys make it a task for 'jobs'" in told.why


@pytest.mark.usefixtures("somebodys")
def test_a_part_of_its_own() -> None:
    from dataclasses import dataclass
    from typing import ClassVar

    @dataclass(frozen=True)
    class Job(Part):
        runtime: ClassVar[str] = "jobs"
        ranks: int | None = None

    def app() -> None: ...

    assert annotate(Job(ranks=3))(app).__rhapsody_spec__ == {"runtime": "jobs", "num_ranks": 3}  # type: ignore[attr-defined]  # put there
    assert parse(merge(Job().as_dict()))[0] == TaskSpec(runtime="jobs")


def config_of(*runtimes: Any) -> BlockConfig:
    return BlockConfig(label="x", addresses=(), runtimes=runtimes, default_runtime="local", logs="")


def test_a_block_reads_it(somebodys: Any, tmp_path: Path) -> None:
    config = config_of(LocalRuntime(), somebodys.Jobs(queue="long"))
    write_config(config, tmp_path / "block.json")
    assert read_config(tmp_path / "block.json") == config


def test_a_block_that_cannot_import_it_knows_why(
    somebodys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(config_of(LocalRuntime(), somebodys.Jobs()), tmp_path / "block.json")
    monkeypatch.setitem(sys.modules, "somebodys", None)
    read = read_config(tmp_path / "block.json")
    assert read.runtimes == (LocalRuntime(),)
    assert read.missing["jobs"].startswith("somebodys:Jobs cannot be imported: import of somebodys halted")


def test_a_class_that_only_the_driver_has_is_refused(somebodys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RhapsodyExecutor(runtimes=[somebodys.Jobs()]).default_runtime == "jobs"
    monkeypatch.setattr(somebodys.Jobs, "__module__", "__main__")
    with pytest.raises(InvalidTask) as caught:
        RhapsodyExecutor(runtimes=[somebodys.Jobs()])
    assert str(caught.value) == (
        "runtimes='Jobs': a block cannot import it from where it is. Move the class to the top level of a module that "
        "is installed, or on PYTHONPATH, in the block"
    )
