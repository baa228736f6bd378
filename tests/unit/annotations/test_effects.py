"""Each key says something to a kind of task, or is refused: the whole table."""

from typing import Any

import msgspec
import pytest

from rhapsody_parsl import MPI, VLLM, Agent, Policy, annotate
from rhapsody_parsl.annotations.agent import annotation_of
from rhapsody_parsl.annotations.annotation import _OWN, merge, parse
from rhapsody_parsl.annotations.effects import check_effect
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.inside.functions import asked, asked_for_agent

KINDS: dict[str, dict[str, Any]] = {
    "single": {}, "function on ranks": {"num_ranks": 2}, "launch": {"num_ranks": 2}, "request": {"service": "llm"},
    "agent": {"cores": 0},
}  # fmt: skip
VALUES: dict[str, Any] = {
    "runtime": "dragon", "service": "llm", "full": True, "cores": 2, "gpus": 1, "memory": 1.0, "num_nodes": 1,
    "num_ranks": 2, "ranks_per_node": 2, "cores_per_rank": 2, "gpus_per_rank": 1, "launcher_options": "-v",
    "groups": [{"ranks": 2}], "priority": 1, "placement": "spread", "near": "x", "labels": ["x"],
    "isolation": "process", "walltime": 9.0, "on_loss": "rerun", "returns": "all", "signal": "SIGUSR1", "notice": 9.0,
    "env": {"A": "1"}, "cwd": "data", "sandbox": True, "output": "text", "output_limit": 9, "check": False,
    "result": "reference", "reference_above": 9, "concurrency": 2, "unanswered": "fail", "lend": True,
}  # fmt: skip
OF_RANKS = {"num_nodes", "num_ranks", "ranks_per_node", "cores_per_rank", "gpus_per_rank", "launcher_options", "groups"}
ALONE = {"notice", "output_limit", "check", "reference_above"}
"""These say something beside another key only."""
OF_GANGS = {"full", "unanswered", "near", "cores", "gpus", "service", "runtime", "lend"}
REFUSED = {
    "single": {"full", "unanswered", "returns"} | ALONE,
    "function on ranks": {"groups"} | OF_GANGS | ALONE,
    "launch": {"returns"} | OF_GANGS | ALONE,
    "request": {
        "cores", "gpus", "memory", "isolation", "placement", "near", "labels", "signal", "unanswered", "runtime",
        "returns", "lend", "result",
    } | OF_RANKS | ALONE,
    "agent": {"full", "concurrency", "result", "output", "isolation", "service", "returns"}
    | OF_RANKS
    | (ALONE - {"notice"}),
}  # fmt: skip
FORMS = {"concurrency", "output"}
"""What the form of the function decides is for `executors.forms`."""


def test_the_table_has_every_key() -> None:
    assert VALUES.keys() == _OWN.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", VALUES)
def test_every_key_of_every_kind(kind: str, key: str) -> None:
    given = {**KINDS[kind], key: VALUES[key]}
    if kind == "single" and key in OF_RANKS | {"service"}:
        return  # it makes another kind of it
    if kind != "agent" and key in FORMS:
        return
    if key not in REFUSED[kind]:
        read(kind, given)
        return
    with pytest.raises(InvalidTask) as caught:
        read(kind, given)
    problem, remedy = caught.value.args[2:]
    assert problem, "the sentence says why"
    assert remedy or key == "runtime", "and what to do"


def read(kind: str, given: dict[str, Any]) -> None:
    """Check a specification as a block's own tasks are checked."""
    if kind == "agent":
        asked_for_agent(type("Mine", (), {}), "mine", given)
    else:
        check_effect(parse(merge(given), comm=kind == "function on ranks")[0])


@pytest.mark.parametrize("given", [{"cores": 0}, {"isolation": "shared"}, {"labels": []}, {"placement": "pack"}])
def test_what_is_so_anyway_is_no_matter(given: dict[str, Any]) -> None:
    check_effect(parse(merge({"service": "llm", **given}))[0])


def test_the_sentence_of_a_request_names_the_key_and_says_why() -> None:
    @annotate(VLLM("llm"), Policy(isolation="process"))
    def prompt() -> str:
        return "x"

    with pytest.raises(InvalidTask, match=r"isolation='process': the body of a request runs in a worker beside"):
        asked(prompt, None)
    with pytest.raises(InvalidTask, match=r"memory=2\.0: a request holds none of its own: the replicas of its service"):
        asked(prompt, {"isolation": "shared", "memory": 2.0})


def test_an_agent_may_say_what_only_agents_do() -> None:
    @annotate(Agent(unanswered="fail"), Policy(labels=("ssd",)))
    class Mine: ...

    spec, _ = parse(annotation_of(Mine))
    check_effect(spec, agent=True)
    with pytest.raises(InvalidTask, match="only an agent answers messages"):
        check_effect(spec)


@pytest.mark.parametrize(("keys", "comm", "isolation"), [
    ({"num_ranks": 2, "gpus_per_rank": 1}, True, "process"),
    ({"num_ranks": 2, "gpus_per_rank": 0.5}, True, "process"),
    ({"num_ranks": 2, "gpus_per_rank": 1, "isolation": "shared"}, True, "shared"),
    ({"num_ranks": 2}, True, "shared"),
    ({"num_ranks": 2, "gpus_per_rank": 1}, False, "shared"),
    ({"gpus": 1}, True, "shared"),
])  # fmt: skip
def test_a_function_that_uses_gpus_on_ranks_has_fresh_ones(keys: dict[str, Any], comm: bool, isolation: str) -> None:
    assert parse(merge(keys), comm=comm)[0].policy.isolation == isolation


def test_the_annotation_of_such_a_function_may_say_otherwise() -> None:
    @annotate(MPI(ranks=2, gpus_per_rank=1), Policy(isolation="shared"))
    def train(comm: Any = None) -> None: ...

    spec = msgspec.msgpack.decode(asked(train, None).spec)
    assert "isolation" not in spec.get("policy", {})
