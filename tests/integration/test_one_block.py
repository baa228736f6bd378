"""One block holds a model service, an MPI job and Dragon tasks at the same time, on disjoint leases."""

import json
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import (
    MPI,
    VLLM,
    DragonRuntime,
    MPIRuntime,
    RhapsodyExecutor,
    VLLMService,
    annotate,
)
from testing import leaks
from testing.processes import below, command_of
from testing.tiny_llama import write_tiny_llama
from testing.waiting import until
from tests.integration.steered import steered

pytestmark = [pytest.mark.dragon, pytest.mark.mpi, pytest.mark.vllm, pytest.mark.timeout(240)]

BOUND = {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}
DECLARED = 4
"""Cores the block is told to have; declared core i stands on real core i modulo what is there."""


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("block")
    model = str(write_tiny_llama(folder / "model"))
    made = RhapsodyExecutor(
        label="block",
        runtimes=[DragonRuntime(), MPIRuntime()],
        services=[VLLMService("tiny", model=model, cores=1, engine_args=BOUND)],
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=DECLARED,
    )
    config = Config(executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0)
    with leaks.watch(), parsl.load(config):
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead (in `executor`): runtimes stay between tests."""


PROGRAM = """
import json, os, pathlib, sys, time
from mpi4py import MPI
comm = MPI.COMM_WORLD
masks = comm.gather(sorted(os.sched_getaffinity(0)))
here, go = map(pathlib.Path, sys.argv[1:])
if comm.rank == 0:
    here.write_text(json.dumps(masks))
while not go.exists():
    time.sleep(0.05)
"""


@bash_app
@annotate(MPI(ranks=2))
def launched(program: str, here: str, go: str) -> str:
    import sys

    return f"$PARSL_MPI_PREFIX {sys.executable} {program} {here} {go}"


@python_app
def wait_for(here: str, go: str) -> list[int]:
    import os
    import pathlib
    import time

    pathlib.Path(here).touch()
    while not pathlib.Path(go).exists():
        time.sleep(0.05)
    return sorted(os.sched_getaffinity(0))


@python_app
@annotate(VLLM("tiny", max_tokens=4))
def ask(text: str) -> str:
    return text


def held(executor: RhapsodyExecutor) -> dict[str, list[int]]:
    """Return the declared cores that each runtime holds, by the ledger's history."""
    now = time.time()
    cores: dict[str, list[int]] = {}
    for record in executor.timeline():
        if record["end"] >= now:
            cores.setdefault(record["runtime"], []).extend(record["cores"])
    return cores


def real(cores: list[int]) -> set[int]:
    """Return the real cores under declared ones."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[core % len(mine)] for core in cores}


def service_masks() -> list[set[int]]:
    """Return the affinity of every process of the engine."""
    family = [process for engine in below("runtimes.vllm.backend") for process in [engine, *below(pid=engine.pid)]]
    return [set(process.cpu_affinity()) for process in family if "resource_tracker" not in command_of(process)]


def test_three_runtimes_hold_disjoint_cores_at_once(executor: RhapsodyExecutor, tmp_path: Path) -> None:
    assert isinstance(ask("are you there?").result(), str)
    go, program = tmp_path / "go", tmp_path / "program.py"
    program.write_text(PROGRAM)
    job = launched(str(program), str(tmp_path / "mpi"), str(go))
    task = wait_for(str(tmp_path / "dragon"), str(go))
    try:
        until(lambda: (tmp_path / "mpi").exists() and (tmp_path / "dragon").exists())
        until(lambda: len(held(executor)) == 3)
        cores = held(executor)
        answer = ask("and now?").result()  # the service goes on while the others hold their cores
        masks = json.loads((tmp_path / "mpi").read_text())
        engine = service_masks()
    finally:
        go.touch()
    dragon = task.result()
    assert job.result() == 0
    assert isinstance(answer, str)
    assert {name: len(each) for name, each in cores.items()} == {"dragon": 1, "mpi": 2, "vllm": 1}
    everything = [core for each in cores.values() for core in each]
    assert sorted(everything) == list(range(DECLARED)), "two runtimes hold one core, or none holds it"
    assert [set(mask) for mask in masks] == [real(cores["mpi"])] * 2
    assert set(dragon) == real(cores["dragon"])
    assert len(engine) >= 2
    assert all(mask == real(cores["vllm"]) for mask in engine)


def test_a_model_behind_the_door_drives_a_launch_a_gang_and_a_map(executor: RhapsodyExecutor) -> None:
    """Its weights are random: the schema of each tool alone makes the calls right."""
    calls, best = steered(executor, "tiny")
    assert [call["name"] for call in calls] == ["simulate", "train", "screen"]
    assert calls[0]["args"]["points"] in {6, 12, 24}
    assert best["distance"] == pytest.approx(1.0, abs=0.05)


def test_history_never_lends_a_core_twice(executor: RhapsodyExecutor, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    futures = [wait_for(str(tmp_path / f"d{n}"), str(tmp_path / "go")) for n in range(30)]
    futures += [launched(str(program), str(tmp_path / f"m{n}"), str(tmp_path / "go")) for n in range(4)]
    futures += [ask(f"number {n}") for n in range(20)]
    assert all(future.exception() is None for future in futures)
    spans: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for record in executor.timeline():
        for core in record["cores"]:
            spans.setdefault((record["node"], core), []).append((record["start"], record["end"]))
    for core, leases in spans.items():
        leases.sort()
        for (_, ended), (began, _) in pairwise(leases):
            assert began >= ended - 1e-3, f"core {core} was lent twice"
