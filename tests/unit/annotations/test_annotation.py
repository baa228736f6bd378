from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.annotations.annotation import ALIASES, SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.request import PARAMETERS
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.errors import InvalidTask

RANKS = {"runtime": "mpi"}
OWN = ["runtime", "service", "full", "cores", "gpus", "memory", "num_nodes", "num_ranks", "ranks_per_node",
       "cores_per_rank", "gpus_per_rank", "launcher_options", "groups", "priority", "placement", "near", "labels",
       "isolation", "walltime", "on_loss", "returns", "signal", "notice",
       "env", "cwd", "sandbox", "output", "output_limit", "check", "result", "reference_above"]  # fmt: skip


def spec_of(keys: dict[str, Any], *, comm: bool = False) -> TaskSpec:
    return parse(merge(plain_dict(keys, SPEC_PARAMETER)), comm=comm)[0]


@pytest.mark.parametrize(("keys", "field", "value"), [
    ({"cores": 3}, "resources.cores", 3),
    ({"cores": "3"}, "resources.cores", 3),
    ({"cores": 2.0}, "resources.cores", 2),
    ({"gpus": 2}, "resources.gpus", 2.0),
    ({"gpus": 0.25}, "resources.gpus", 0.25),
    ({"memory": 1.5}, "resources.memory", 1.5),
    ({"num_nodes": 2}, "resources.num_nodes", 2),
    ({"num_ranks": 6}, "resources.num_ranks", 6),
    ({"ranks_per_node": 4}, "resources.num_ranks", 4),
    (RANKS | {"cores_per_rank": 2}, "resources.cores_per_rank", 2),
    (RANKS | {"gpus_per_rank": 0.5}, "resources.gpus_per_rank", 0.5),
    (RANKS | {"launcher_options": "-v"}, "resources.launcher_options", "-v"),
    (RANKS, "resources.num_ranks", 1),
    ({"runtime": "local"}, "runtime", "local"),
    ({}, "runtime", ""),
    ({"num_nodes": 1}, "runtime", "mpi"),
    ({"service": "llm"}, "runtime", "vllm"),
    ({"service": "llm"}, "resources.cores", 0),
    ({"service": "llm", "full": True}, "full", True),
    ({"priority": -2}, "policy.priority", -2.0),
    ({"placement": "spread"}, "policy.placement", "spread"),
    ({"near": "data"}, "policy.near", "data"),
    ({"labels": "ssd"}, "policy.labels", ("ssd",)),
    ({"labels": ["a", "b"]}, "policy.labels", ("a", "b")),
    ({"isolation": "process"}, "policy.isolation", "process"),
    ({"walltime": 10}, "policy.walltime", 10.0),
    ({"on_loss": "rerun"}, "policy.on_loss", "rerun"),
    ({"env": {"B": "2", "A": "1"}}, "policy.env", (("A", "1"), ("B", "2"))),
    ({"cwd": "data"}, "policy.cwd", "data"),
    ({"sandbox": True}, "policy.sandbox", True),
    ({"output": "text"}, "policy.output", "text"),
    ({"output_limit": 0}, "policy.output_limit", 0),
    ({"check": False}, "policy.check", False),
    ({"policy": {"priority": 7, "on_loss": "rerun"}}, "policy.priority", 7.0),
])  # fmt: skip
def test_every_key(keys: dict[str, Any], field: str, value: Any) -> None:
    found: Any = spec_of(keys)
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_returns_all_is_for_mpi_functions() -> None:
    assert spec_of(RANKS | {"returns": "all"}, comm=True).policy.returns == "all"
    with pytest.raises(InvalidTask, match="Give the function a `comm` parameter"):
        spec_of(RANKS | {"returns": "all"})


@pytest.mark.parametrize(("alias", "own"), ALIASES.items())
def test_aliases(alias: str, own: str) -> None:
    assert merge({alias: 2}) == {own: 2}
    with pytest.raises(InvalidTask, match=f"'{own}' is given twice"):
        merge({alias: 2, own: 2})


def test_later_layers_override_key_by_key_under_any_spelling() -> None:
    layers = {"ranks": 4, "policy": {"priority": 1, "walltime": 5}}, {"num_ranks": 8, "priority": 2}
    assert merge(*layers) == {"num_ranks": 8, "priority": 2, "walltime": 5}


@pytest.mark.parametrize(("given", "third"), [
    ({"num_ranks": 8, "num_nodes": 2}, ("ranks_per_node", 4)),
    ({"num_ranks": 8, "ranks_per_node": 2}, ("num_nodes", 4)),
    ({"num_nodes": 3, "ranks_per_node": 2}, ("num_ranks", 6)),
    ({"num_nodes": 3}, ("num_ranks", 0)),
    ({"num_ranks": 3}, ("num_nodes", 0)),
])  # fmt: skip
def test_two_of_the_gangs_numbers_give_the_third(given: dict[str, int], third: tuple[str, int]) -> None:
    assert getattr(spec_of(given).resources, third[0]) == third[1]


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"core": 2}, "core=2: unknown key. Did you mean 'cores'?"),
    ({"walltme": 2}, "walltme=2: unknown key. Did you mean 'walltime'?"),
    ({"service": "s", "temprature": 0}, "temprature=0: unknown key. Did you mean 'temperature'?"),
    ({"temperature": 0}, "temperature=0: a request parameter needs a service. Add service='<name>'"),
    ({"ask": "embed"}, "ask='embed': a request parameter needs a service. Add service='<name>'"),
    ({"service": "s", "ask": "embedd"}, "ask='embedd': allowed are text, embed, score. Did you mean 'embed'?"),
    ({"service": "s", "ask": 1}, "ask=1: allowed are text, embed, score."),
    ({"runtime": "dragn"}, "runtime='dragn': allowed are dragon, mpi, vllm, local. Did you mean 'dragon'?"),
    ({"cores": -1}, "cores=-1: the smallest is 0."),
    ({"cores": 1.5}, "cores=1.5: a whole number is needed."),
    ({"cores": True}, "cores=True: a whole number is needed."),
    ({"cores": float("inf")}, "cores=inf: a finite number is needed."),
    ({"cores": float("nan")}, "cores=nan: a finite number is needed."),
    ({"gpus": 1.5}, "gpus=1.5: above 1 only whole GPUs can be leased. Use 2, or a share below 1"),
    ({"cores": "²"}, "cores='²': a whole number is needed."),
    ({"cores": "9" * 30}, f"cores='{'9' * 30}': a whole number is needed."),
    ({"memory": 1e10}, "memory=10000000000.0: the largest is 1e+09."),
    ({"walltime": 1e308}, "walltime=1e+308: the largest is 1e+09."),
    ({"priority": 1e300}, "priority=1e+300: allowed are -9.22337e+18 to 9.22337e+18."),
    ({"gpus": 1e-6}, "gpus=1e-06: the smallest share of a GPU is 0.001."),
    ({"runtime": "mpi", "launcher_options": "-x 'y"},
     "launcher_options=\"-x 'y\": it cannot be split into words as a shell does: No closing quotation."),
    ({"near": "a\0"}, "near='a\\x00': the character NUL is not allowed."),
    ({"labels": ["a"] * 1001}, "labels=[" + "'a', " * 12 + "...]: 1000 at most."),
    ({"memory": -1}, "memory=-1: it must be zero or more."),
    ({"num_ranks": 5, "num_nodes": 2}, "num_ranks=5: not divisible by num_nodes=2. Change one, or give only num_ranks"),
    ({"num_ranks": 2, "cores": 2}, "cores=2: an MPI task counts by rank. Use cores_per_rank"),
    ({"cores_per_rank": 2}, "cores_per_rank=2: the default runtime has no ranks. Use runtime='mpi', or cores and gpus"),
    ({"runtime": "vllm"}, "runtime='vllm': names no service. Add service='<name>'"),
    ({"runtime": "mpi", "service": "s"}, "service='s': runtime 'mpi' asks no service. Drop runtime, or use 'vllm'"),
    ({"policy": 3}, "policy=3: a dict is needed."),
    ({"labels": [1]}, "labels=[1]: a list of texts is needed."),
])  # fmt: skip
def test_refusals_name_key_value_and_remedy(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        spec_of(keys)
    assert str(caught.value) == sentence


def test_every_request_parameter_is_passed_on() -> None:
    asked = dict.fromkeys(PARAMETERS, 1)
    assert parse(merge({"service": "llm", **asked}))[1] == asked


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
    | st.sampled_from(["mpi", "vllm", "local", "dragon", "all", "rerun", "spread", "process", "2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
names = st.sampled_from([*OWN, *ALIASES, "policy", "temperature", "max_tokens"]) | st.text(max_size=8) | st.integers()


def check_any(annotation: Any, given_: Any, comm: bool) -> None:
    try:
        layers = [plain_dict(layer, SPEC_PARAMETER) for layer in (annotation, given_)]
        spec, _request = parse(merge(*layers), "task", comm)
    except InvalidTask as refusal:
        sentence = str(refusal)
    else:
        sentence = "" if decode_spec(encode_spec(spec)) != spec else "it parses"
    assert sentence


@pytest.mark.parametrize("key", ["cores", "gpus", "memory", "num_ranks", "priority", "walltime"])
@pytest.mark.parametrize("value", [10**400, 2**64, 1e308, float("inf"), float("nan"), True, "x"])
def test_numbers_that_are_none_or_too_large(key: str, value: Any) -> None:
    check_any({key: value}, {}, False)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(names, values, max_size=6) | values, st.dictionaries(names, values, max_size=3), st.booleans())
def test_any_dict_either_parses_or_is_refused(annotation: Any, given_: Any, comm: bool) -> None:
    check_any(annotation, given_, comm)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(OWN), st.integers(0, 9) | st.sampled_from(["mpi", "vllm", "all", "pack"])))
def test_plausible_dicts_too(keys: dict[Any, Any]) -> None:
    check_any(keys, {}, True)


def test_a_signal_before_the_end() -> None:
    assert spec_of({}).policy.signal == ""
    assert spec_of({"signal": "SIGUSR2"}).policy.notice == 60
    assert spec_of({"policy": {"signal": "SIGTERM", "notice": 5}}).policy.notice == 5
    with pytest.raises(InvalidTask, match="no signal is given"):
        spec_of({"notice": 5})
    with pytest.raises(InvalidTask, match="allowed are SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2"):
        spec_of({"signal": "SIGKILL"})
