import pickle
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsl.executors.errors import InvalidResourceSpecification

from rhapsody_parsl import CommandService, DragonRuntime, MPIRuntime, VLLMService
from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.admission import Admission, Admitted, InvalidSpecification, misfit, read
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.scheduler import can_ever_fit
from testing.nodes import make_inventory, make_node, make_spec

RUNTIMES = (DragonRuntime(), MPIRuntime(), ModelRequests())
SERVICES = (VLLMService("assistant", "m"),)
FACTS = FunctionFacts("app", {}, False, False)


def admission(nodes: int = 2) -> Admission:
    return Admission(RUNTIMES, SERVICES, "dragon", nodes)


def test_a_service_wider_than_a_block_is_refused_before_there_is_one() -> None:
    wide = VLLMService("wide", "m", nodes=4, engine_args={"tensor_parallel_size": 4})
    Admission((), (wide,), "vllm", 4)
    with pytest.raises(InvalidTask) as caught:
        Admission((), (wide,), "vllm", 3)
    assert str(caught.value) == (
        "VLLMService(nodes)=4: a replica of service 'wide' would not fit into a block of 3. "
        "Raise the provider's nodes_per_block, or spread the engine over fewer"
    )


def test_a_prompt_for_a_command_is_refused() -> None:
    gate = Admission(RUNTIMES, (*SERVICES, CommandService("cache", "redis-server")), "dragon", 1)
    with pytest.raises(InvalidSpecification) as caught:
        gate.admit(FACTS, read({"service": "cache"}))
    assert str(caught.value) == (
        "service='cache': it is a CommandService, which answers no prompts. "
        "Leave service out, and ask it from within the task: rhapsody_parsl.service('cache').url"
    )


def test_admitted_specs_are_encoded_for_the_pilot_and_remembered() -> None:
    gate = admission()
    admitted = gate.admit(FACTS, read({"service": "assistant", "max_tokens": 5}))
    assert decode_spec(admitted.encoded) == admitted.spec
    assert admitted.spec.service == "assistant"
    assert admitted.request
    assert gate.admit(FACTS, read({"service": "assistant", "max_tokens": 5})) is admitted
    assert gate.admit(FACTS, read({"service": "assistant", "max_tokens": 6})) is not admitted
    assert gate.admit(FACTS, read(None)) is gate.admit(FACTS, read({}))


def test_a_new_specification_takes_few_calls() -> None:
    """Thousands of tasks may have one each."""
    gate, calls = admission(), list[str]()

    def note(_frame: FrameType, event: str, _found: Any) -> None:
        if event in {"call", "c_call"}:
            calls.append(event)

    gate.admit(FACTS, read({"priority": 1}))
    sys.setprofile(note)
    try:
        gate.admit(FACTS, read({"priority": 2}))
    finally:
        sys.setprofile(None)
    assert 10 < len(calls) <= 100


def test_an_app_without_ranks_is_refused_where_mpi_is_the_default() -> None:
    gate = Admission((MPIRuntime(),), (), "mpi", 1)
    with pytest.raises(InvalidSpecification, match="needs ranks"):
        gate.admit(FACTS, read({}))
    assert gate.admit(FACTS, read({"num_ranks": 1})).spec.runtime == "mpi"
    assert gate.admit(FACTS, read({"runtime": "mpi"})).spec.resources.num_ranks == 1


def test_what_cannot_be_a_key_of_the_memory_is_checked_each_time() -> None:
    gate = admission()
    exotic = {"service": "assistant", "stop": object()}
    for _ in range(2):
        with pytest.raises(InvalidSpecification, match="not plain data"):
            gate.admit(FACTS, read(exotic))
    assert gate.admit(FACTS, read({"cores": 2})).spec.resources.cores == 2


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"runtime": "local"}, "runtime='local': this executor has dragon, mpi, vllm. Add it to "
                           "RhapsodyExecutor(runtimes=[...]) or use one of: dragon, mpi, vllm"),
    ({"service": "asistant"}, "service='asistant': no such service. Did you mean 'assistant'?"),
    ({"service": "xyz"}, "service='xyz': no such service. Known are assistant"),
    ({"num_nodes": 3}, "num_nodes=3: a block has 2. Raise the provider's nodes_per_block, or ask for fewer"),
    ({"cores": "x"}, "cores='x': a whole number is needed."),
    ({"coers": 1}, "coers=1: unknown key. Did you mean 'cores'?"),
    ([1], "parsl_resource_specification=[1]: a dict is needed."),
])  # fmt: skip
def test_refusals_are_parsls_error_with_our_sentence(keys: Any, sentence: str) -> None:
    with pytest.raises(InvalidResourceSpecification) as caught:
        admission().admit(FACTS, read(keys))
    error = caught.value
    assert isinstance(error, InvalidTask)
    assert str(error) == sentence
    assert error.invalid_keys == {error.key}
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.invalid_keys) == (type(error), sentence, error.invalid_keys)


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"cores": 5}, "cores=5: the largest node has 4 for tasks. Ask for 4 at most"),
    ({"gpus": 0.5}, "gpus=0.5: the largest node has 0 for tasks. Ask for 0 at most"),
    ({"memory": 17}, "memory=17.0: the largest node has 16 for tasks. Ask for 16 at most"),
    ({"labels": ["ssd"]}, "labels=['ssd']: no node of the block carries them. Drop them"),
    ({"num_nodes": 2}, "num_nodes=2: the block has 1. Ask for fewer"),
    ({"num_ranks": 5}, "num_ranks=5: the block has room for 4 ranks in all. Ask for fewer"),
    ({"ranks_per_node": 5}, "ranks_per_node=5: the nodes have room for 4 ranks each. Ask for fewer"),
    ({"num_ranks": 1, "gpus_per_rank": 1}, "gpus_per_rank=1.0: the largest node has 0 GPUs for tasks. Ask for fewer"),
])  # fmt: skip
def test_what_no_connected_block_can_hold_is_refused(keys: dict[str, Any], sentence: str) -> None:
    spec = Admitted(make_spec(**keys), b"")
    gate = admission()
    gate.check_fit(spec, [])
    with pytest.raises(InvalidSpecification) as caught:
        gate.check_fit(spec, [make_inventory({})])
    assert str(caught.value) == sentence
    big = make_inventory(*[{"cores": 64, "gpus": 4, "memory": 512.0, "labels": frozenset(["ssd"])}] * 2)
    gate.check_fit(spec, [make_inventory({}), big])


asked = st.fixed_dictionaries({}, optional={
    "cores": st.integers(0, 9), "gpus": st.sampled_from([0.5, 1, 2]), "memory": st.integers(0, 40),
}) | st.fixed_dictionaries({"runtime": st.just("mpi"), "num_ranks": st.integers(1, 20)}, optional={
    "cores_per_rank": st.integers(1, 5), "gpus_per_rank": st.sampled_from([0.5, 1]), "memory": st.integers(0, 40),
})  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(asked, st.lists(st.tuples(st.integers(1, 8), st.integers(0, 2)), min_size=1, max_size=3))
def test_nothing_that_fits_is_refused_at_submit(keys: dict[str, Any], counts: list[tuple[int, int]]) -> None:
    nodes = [make_node(f"n{i}", cores, gpus, 32.0) for i, (cores, gpus) in enumerate(counts)]
    ledger = Ledger(nodes)
    said = make_inventory(
        *({"cores": n.cores and len(n.cores), "gpus": len(n.gpus), "memory": n.memory} for n in nodes)
    )
    spec = make_spec(**keys)
    if can_ever_fit(spec, ledger):
        assert misfit(spec, said) is None


def test_a_task_longer_than_the_providers_walltime_is_refused() -> None:
    gate = Admission(RUNTIMES, SERVICES, "dragon", 1, walltime=600.0)
    assert gate.admit(FACTS, {"walltime": 600}).spec.policy.walltime == 600
    with pytest.raises(InvalidSpecification, match="no block lasts so long: the provider's walltime is 600 s"):
        gate.admit(FACTS, {"walltime": 601})
    assert admission().admit(FACTS, {"walltime": 1e9}).spec.policy.walltime == 1e9


def test_a_task_longer_than_a_block_had_is_refused() -> None:
    admitted = admission().admit(FACTS, {"walltime": 600})
    admission().check_fit(admitted, [make_inventory(), make_inventory(ends_at=1e9, lasts=601.0)])
    short = make_inventory(ends_at=1e9, lasts=599.0)
    with pytest.raises(InvalidSpecification, match="the block had 599 s until the end of its job when it came"):
        admission().check_fit(admission().admit(FACTS, {"walltime": 600}), [short])
