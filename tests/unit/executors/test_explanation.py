from typing import Any

import pytest
from parsl import python_app

from rhapsody_parsl import MPI, DragonRuntime, MPIRuntime, Policy, VLLMService, annotate
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.executors.admission import Admission, InvalidSpecification
from rhapsody_parsl.executors.explanation import Explanation, explain
from testing.nodes import make_inventory

RUNTIMES = (DragonRuntime(), MPIRuntime())


def told(spec: Any = None, blocks: int = 0, **keys: Any) -> Explanation:
    inventories = [make_inventory()] * blocks
    return explain(Admission(RUNTIMES, (), "dragon", 1), "dragon", (), inventories, spec=spec, keys=keys)


@annotate(MPI(ranks=2, cores_per_rank=2), Policy(walltime=60, on_loss="rerun"))
def norm(values: list[float], comm: Any = None) -> float:
    return sum(values)


def test_a_request_to_a_service_over_several_nodes() -> None:
    wide = VLLMService("wide", "m", nodes=2, engine_args={"tensor_parallel_size": 4})
    told = explain(
        Admission((ModelRequests(),), (wide,), "vllm", 2), "vllm", (wide,), [], spec={"service": "wide"}, keys={}
    )
    assert told.takes == "a place in service 'wide', of which each replica spans 2 nodes"


def test_the_text() -> None:
    assert str(told(norm, blocks=1)).splitlines() == [
        "norm runs on mpi and takes 2 rank(s) with 2 core(s) each.",
        "  - runtime='mpi' is asked for",
        "  - its function has a `comm` parameter: it runs on every rank, rank 0's result counts",
        "  - priority 0 (lower runs first), placement 'pack', isolation 'shared'",
        "  - ended with all its processes after 60 s",
        "  - when its process is lost it runs again",
        "  - block 0: it fits",
    ]


def test_the_default_and_no_block() -> None:
    text = str(told())
    assert "a call runs on dragon and takes 1 core(s), 0 GPU(s) of one node." in text
    assert "no key names a runtime, so it is the default, 'dragon'" in text
    assert text.endswith("no block is connected yet, so only what is configured could be checked")


def test_an_app_and_call_time_keys() -> None:
    told_ = told(python_app(norm), cores_per_rank=1)
    assert told_.spec.resources.cores_per_rank == 1
    assert told_.runtime == "mpi"


def test_what_fits_nowhere_is_refused() -> None:
    with pytest.raises(InvalidSpecification, match="the largest node has 4 for tasks"):
        told({"cores": 5}, blocks=2)
