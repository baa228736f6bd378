"""No value raises anything but Parsl's error at submit, or keeps it waiting; what passes reaches the pilot as it was.

Nor does any raise anything but `InvalidTask` in a constructor, and what one takes is a plain value of the right type.

`RHAPSODY_FUZZ=50000` tries as many random specifications instead of 1,500, `RHAPSODY_FUZZ_SEED` others.
"""

import inspect
import os
import pickle
import socket
import time
import types
from collections import OrderedDict
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np
import pytest
from parsl.executors.errors import InvalidResourceSpecification
from parsl.providers import LocalProvider

from rhapsody_parsl import (
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
from rhapsody_parsl.annotations.annotation import ALIASES
from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.admission import Admission, read
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import Submit, Task, ToPilot
from testing.hostile import VALUES, Level, Name, Specifications, failing

KEYS = ["runtime", "service", "full", "cores", "gpus", "memory", "num_nodes", "num_ranks", "ranks_per_node",
        "cores_per_rank", "gpus_per_rank", "launcher_options", "groups", "priority", "placement", "near", "labels",
        "isolation", "walltime", "on_loss", "returns", "result", "reference_above", "policy", "temperature", "messages",
        "stop", "logit_bias", *ALIASES]  # fmt: skip
RUNTIMES = (DragonRuntime(), LocalRuntime(), MPIRuntime(), ModelRequests())
SERVICES = (VLLMService("assistant", "m"), CommandService("cache", "redis-server"))
FACTS = FunctionFacts("app", {}, False, True)
CODEC: Codec[Any] = Codec(ToPilot)
ADMISSION = Admission(RUNTIMES, SERVICES, "dragon", 4)
COUNT = int(os.environ.get("RHAPSODY_FUZZ", "1500"))
SEED = int(os.environ.get("RHAPSODY_FUZZ_SEED", "1"))
LONGEST_SECONDS = 4.0
"""A specification of 300,000 values, of which a refusal reads all, takes 0.2 to 1.4 s, by the machine."""
ENOUGH_SECONDS = 1.0


def check(specification: Any) -> bool:
    """Submit as far as the line to the pilot; return whether it was admitted."""
    began = time.thread_time()
    try:
        admitted = ADMISSION.admit(FACTS, read(specification))
    except InvalidResourceSpecification as error:
        assert time.thread_time() - began < LONGEST_SECONDS
        check_error(error)
        return False
    assert time.thread_time() - began < LONGEST_SECONDS
    message = Submit([Task(1, admitted.encoded, b"", admitted.request)])
    (task,) = CODEC.decode(encode(message)).tasks
    assert decode_spec(task.spec) == admitted.spec
    if task.request:
        assert msgspec.msgpack.encode(msgspec.msgpack.decode(task.request)) == task.request
        msgspec.json.encode(msgspec.msgpack.decode(task.request))  # as an engine behind HTTP gets it
    return True


def check_error(error: Exception) -> None:
    sentence = str(error)
    assert 0 < len(sentence) < 1500
    sentence.encode()
    assert str(pickle.loads(pickle.dumps(error))) == sentence


@pytest.mark.parametrize("number", range(len(VALUES)))  # pytest looks at values, too
def test_every_value_under_every_key(number: int) -> None:
    value = VALUES[number]
    began = time.monotonic()
    check(value)
    for key in KEYS:
        if time.monotonic() - began < ENOUGH_SECONDS:  # a value of 300,000 items is read whole each time
            check({key: value})
            check({"service": "assistant", key: [value]})
            check({"policy": {key: value}})
    try:
        specification = {value: 1}
    except BaseException:  # noqa: BLE001 - it cannot be a key
        return
    check(specification)


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_annotate_refuses_at_definition(number: int) -> None:
    value = VALUES[number]
    for parts in (lambda: [value], lambda: [Policy(near=value)], lambda: [{"cores": value}, Dragon()]):
        try:
            annotate(*parts())(check)
        except InvalidTask as error:
            check_error(error)


CONSTRUCTORS: list[tuple[Any, dict[str, Any]]] = [
    (RhapsodyExecutor, {"runtimes": [LocalRuntime()]}), (DragonRuntime, {}), (LocalRuntime, {}), (MPIRuntime, {}),
    (CommandService, {"name": "a", "command": "serve"}), (VLLMService, {"name": "a", "model": "m"}),
    (AllocationProvider, {}), (SharedBlock, {"provider": LocalProvider()}),
    (SharedBlock(LocalProvider()).share, {"cores": 1}),
]  # fmt: skip
OPTIONS_OF_A_SHARE = ["launcher", "init_blocks", "min_blocks", "parallelism"]
OBJECTS = {
    "provider",
    "launcher",
    "block_error_handler",
    "storage_access",
    "remote_monitoring_radio",
    "runtimes",
    "services",
}


@pytest.mark.parametrize(("make", "needed"), CONSTRUCTORS, ids=lambda given: getattr(given, "__name__", ""))
def test_every_value_for_every_argument_of_a_constructor(
    make: Any, needed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSB_MCPU_HOSTS", f"{socket.gethostname()} 2")
    monkeypatch.setattr(
        "rhapsody_parsl.annotations.plain._MOST_ITEMS", 1000
    )  # of which some values have 300 times as many
    names = list(inspect.signature(make).parameters)
    for name in names if needed != {"cores": 1} else [*names[:-1], *OPTIONS_OF_A_SHARE]:
        for value in VALUES:
            try:
                made = make(**{**needed, name: value})
            except InvalidTask as error:
                check_error(error)
            else:
                assert name in OBJECTS or type(getattr(made, name, None)) in PLAIN


PLAIN = {str, int, float, bool, type(None), tuple, dict}


def test_numbers_of_numpy_and_paths_are_taken_by_constructors() -> None:
    half: Any = np.float32(0.5)
    given: dict[str, Any] = {
        "runtimes": [LocalRuntime(startup_timeout=half)], "working_dir": PurePosixPath("/scratch"),
        "cores_per_node": np.int64(4), "heartbeat_period": np.uint8(3), "encrypted": np.bool_(False),
    }  # fmt: skip
    executor = RhapsodyExecutor(**given)
    taken = (executor.working_dir, executor.cores_per_node, executor.heartbeat_period, executor.encrypted)
    assert taken == ("/scratch", 4, 3, False)
    assert [type(value) for value in taken] == [str, int, int, bool]
    assert executor.runtimes == (LocalRuntime(startup_timeout=0.5),)
    assert "cores_per_node=4" in repr(executor)


def same(specification: Any, plain: dict[str, Any]) -> None:
    assert ADMISSION.admit(FACTS, read(specification)).spec == ADMISSION.admit(FACTS, read(plain)).spec


@pytest.mark.parametrize(("specification", "plain"), [
    ({"cores": np.int64(4), "gpus": np.float32(0.5)}, {"cores": 4, "gpus": 0.5}),
    ({"memory": np.longdouble(2), "cores": np.uint8(1)}, {"memory": 2.0, "cores": 1}),
    ({"runtime": np.str_("mpi"), "ranks": Level.TWO}, {"runtime": "mpi", "num_ranks": 2}),
    ({"service": "assistant", "full": np.bool_(True)}, {"service": "assistant", "full": True}),
    ({"runtime": Name.MPI, "labels": ("a",)}, {"runtime": "mpi", "labels": ["a"]}),
    ({"priority": -0.0}, {"priority": 0}),
    (types.MappingProxyType({"cores": 2}), {"cores": 2}),
    (OrderedDict(policy=types.MappingProxyType({"walltime": 2})), {"walltime": 2}),
])  # fmt: skip
def test_numbers_texts_and_mappings_are_taken_for_what_they_are(specification: Any, plain: dict[str, Any]) -> None:
    assert ADMISSION.admit(FACTS, read(specification)).encoded == ADMISSION.admit(FACTS, read(plain)).encoded


def test_so_are_subclasses_whose_methods_fail() -> None:
    found = read(failing(dict)({"near": failing(str)("x"), "cores": failing(int)(4), "gpus": failing(float)(0.5)}))
    assert found == {"near": "x", "cores": 4, "gpus": 0.5}
    assert [type(value) for value in found.values()] == [str, int, float]
    assert read({"stop": failing(list)(["a"])}) == {"stop": ["a"]}


def test_a_long_prompt_in_a_request_passes_and_is_not_kept() -> None:
    gate = Admission(RUNTIMES, SERVICES, "dragon", 1)
    request = {"service": "assistant", "messages": [{"role": "user", "content": "word " * 1_000_000}]}
    one = gate.admit(FACTS, read(request))
    assert msgspec.msgpack.decode(one.request) == {"messages": request["messages"]}
    assert gate.admit(FACTS, read(request)) is not one


def test_any_specification() -> None:
    some = Specifications(KEYS, SEED)
    admitted = sum(check(some()) for _ in range(COUNT))
    assert COUNT // 50 < admitted < COUNT // 2  # both ways are tried
