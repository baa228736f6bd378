"""Groups of ranks: what is taken, and what is refused."""

from typing import Any

import pytest

from rhapsody_parsl import MPI, annotate
from rhapsody_parsl.annotations.annotation import merge, parse
from rhapsody_parsl.annotations.groups import RankGroup
from rhapsody_parsl.annotations.task_spec import decode_spec, encode_spec
from rhapsody_parsl.errors import InvalidTask


def test_groups_say_how_many_ranks_there_are() -> None:
    spec, _ = parse(merge({"groups": [{"ranks": 2, "env": {"B": "2", "A": "1"}}, {"ranks": 1, "gpus": False}]}))
    assert spec.runtime == "mpi"
    assert spec.resources.num_ranks == 3
    assert spec.resources.groups == (RankGroup(2, (("A", "1"), ("B", "2"))), RankGroup(1, gpus=False))
    assert decode_spec(encode_spec(spec)) == spec


def test_they_stand_in_the_annotation() -> None:
    @annotate(MPI(groups=[{"ranks": 2}, {"ranks": 2}], ranks_per_node=2))
    def app() -> None: ...

    spec, _ = parse(app.__rhapsody_spec__)  # type: ignore[attr-defined]  # the annotation's
    assert (spec.resources.num_ranks, spec.resources.num_nodes) == (4, 2)


@pytest.mark.parametrize(("keys", "said"), [
    ({"groups": 2}, "a list of dicts is needed"),
    ({"groups": []}, "a list of dicts is needed"),
    ({"groups": [{"ranks": 1}] * 101}, "100 at most"),
    ({"groups": [{"rank": 1}]}, "ranks"),
    ({"groups": [{"ranks": 0}]}, "from 1 on"),
    ({"groups": [{"ranks": True}]}, "from 1 on"),
    ({"groups": [{"env": {}}]}, "from 1 on"),
    ({"groups": [{"ranks": 1, "gpus": 2}]}, "gpus_per_rank"),
    ({"groups": [{"ranks": 1, "env": {"CUDA_VISIBLE_DEVICES": "0"}}]}, "the lease says"),
    ({"groups": [{"ranks": 1}], "num_ranks": 2}, "the groups have 1 ranks"),
    ({"groups": [{"ranks": 3}], "ranks_per_node": 2}, "not divisible"),
    ({"groups": [{"ranks": 1}], "runtime": "local"}, "has no ranks"),
])  # fmt: skip
def test_what_can_never_run_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTask, match=said):
        parse(merge(keys))


def test_a_function_on_ranks_has_no_groups() -> None:
    with pytest.raises(InvalidTask, match=r"\$PARSL_MPI_PREFIX one : another"):
        parse(merge({"groups": [{"ranks": 1}]}), comm=True)
