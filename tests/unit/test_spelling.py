import inspect
from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import (
    MPI,
    VLLM,
    AllocationProvider,
    CommandService,
    Dragon,
    DragonRuntime,
    LocalRuntime,
    MPIRuntime,
    Policy,
    RhapsodyExecutor,
    SharedBlock,
    VLLMService,
    annotate,
)
from rhapsody_parsl.errors import InvalidTask

ALL: list[Any] = [MPI, VLLM, Dragon, Policy, DragonRuntime, LocalRuntime, MPIRuntime, CommandService, VLLMService,
                  RhapsodyExecutor, AllocationProvider, SharedBlock]  # fmt: skip


@pytest.mark.parametrize(("kind", "keywords", "hint"), [
    (MPI, {"rank": 4}, "'rank'. Did you mean 'ranks'?"),
    (Dragon, {"core": 1}, "'core'. Did you mean 'cores'?"),
    (Dragon, {"xyz": 1}, "'xyz'. Known are cores, gpus, memory"),
    (Policy, {"priorty": 1}, "'priorty'. Did you mean 'priority'?"),
    (VLLM, {"servce": "s"}, "'servce'. Did you mean 'service'?"),
    (DragonRuntime, {"option": ()}, "'option'. Did you mean 'options'?"),
    (MPIRuntime, {"worldranks": 1}, "'worldranks'. Did you mean 'world_ranks'?"),
    (LocalRuntime, {"cores": 1}, "'cores'. Known are startup_timeout"),
    (CommandService, {"name": "a", "command": "c", "redy": ""}, "'redy'. Did you mean 'ready'?"),
    (RhapsodyExecutor, {"service": ()}, "'service'. Did you mean 'services'?"),
    (VLLMService, {"name": "a", "model": "m", "gpu": 1}, "'gpu'. Did you mean 'gpus'?"),
    (RhapsodyExecutor, {"runtime": []}, "'runtime'. Did you mean 'runtimes'?"),
    (AllocationProvider, {"worker_inti": ""}, "'worker_inti'. Did you mean 'worker_init'?"),
    (SharedBlock, {"provder": LocalProvider()}, "'provder'. Did you mean 'provider'?"),
])  # fmt: skip
def test_a_misspelt_keyword_names_the_nearest(kind: Any, keywords: dict[str, Any], hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        kind(**keywords)
    assert str(caught.value) == f"{kind.__name__}() got an unexpected keyword argument {hint}"


def test_a_share_is_not_given_away_by_a_misspelt_option() -> None:
    block = SharedBlock(LocalProvider())
    with pytest.raises(TypeError, match=r"'init_block'\. Did you mean 'init_blocks'"):
        block.share(cores=1, init_block=1)
    assert block.share(cores=1).first == 0


def test_a_request_parameter_is_looked_at_by_annotate() -> None:
    part = VLLM("assistant", max_tokns=5)
    with pytest.raises(InvalidTask, match=r"max_tokns=5: unknown key\. Did you mean 'max_tokens'\?"):
        annotate(part)(test_a_share_is_not_given_away_by_a_misspelt_option)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'service'"):
        VLLM(max_tokens=5)  # type: ignore[call-arg]  # what is tested


@pytest.mark.parametrize(("kind", "arguments", "name", "key"), [
    (RhapsodyExecutor, ("here", None, [DragonRuntime]), "DragonRuntime", "RhapsodyExecutor(runtimes)"),
    (RhapsodyExecutor, ("here", None, (LocalRuntime(), MPIRuntime)), "MPIRuntime", "RhapsodyExecutor(runtimes)"),
    (RhapsodyExecutor, ("here", None, DragonRuntime), "DragonRuntime", "RhapsodyExecutor(runtimes)"),
    (RhapsodyExecutor, ("here", LocalProvider), "LocalProvider", "RhapsodyExecutor(provider)"),
    (SharedBlock, (LocalProvider,), "LocalProvider", "SharedBlock(provider)"),
    (VLLMService, ("a", str), "str", "VLLMService(model)"),
    (annotate, (Dragon,), "Dragon", "annotate"),
])  # fmt: skip
def test_a_class_given_for_an_object_says_so(kind: Any, arguments: tuple[Any, ...], name: str, key: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        kind(*arguments)
    assert caught.value.key == key
    assert str(caught.value).endswith(f"{name} is a class, and an object of it is needed. Write {name}(...)")


def test_a_service_class_is_named_by_keyword_too() -> None:
    with pytest.raises(InvalidTask, match="VLLMService is a class"):
        RhapsodyExecutor(services=[VLLMService])  # type: ignore[list-item]  # what is tested


@pytest.mark.parametrize("kind", ALL)
def test_signatures_stay_as_they_are(kind: Any) -> None:
    own = kind.__init__.__wrapped__ if hasattr(kind.__init__, "__wrapped__") else None
    shown = inspect.signature(kind)
    assert not any(p.kind is p.VAR_POSITIONAL for p in shown.parameters.values())
    if own:
        assert list(shown.parameters) == list(inspect.signature(own).parameters)[1:]
    else:
        assert list(shown.parameters) == list(kind.__struct_fields__)
