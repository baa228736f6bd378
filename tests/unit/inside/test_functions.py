import functools
from typing import Any

import pytest

from rhapsody_parsl import MPI, Dragon, Policy, annotate
from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.inside.functions import asked


def plain(number: int) -> int:
    return number


@annotate(Dragon(cores=2), Policy(priority=3))
def annotated(number: int) -> int:
    return number


@annotate(MPI(ranks=2))
def on_ranks(number: int, comm: Any) -> int:
    return number + int(comm.Get_rank())


@functools.wraps(annotated)
def wrapped(*args: Any, **kwargs: Any) -> int:
    return annotated(*args, **kwargs)


class Callable:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(("function", "given", "name", "cores", "priority"), [
    (plain, None, "plain", 1, 0), (plain, {"cores": 0}, "plain", 0, 0), (annotated, None, "annotated", 2, 3),
    (annotated, {"cores": 1, "runtime": "local"}, "annotated", 1, 3), (wrapped, {}, "annotated", 2, 3),
    (functools.partial(annotated, 1), None, "annotated", 2, 3), (functools.partial(plain, 1), None, "plain", 1, 0),
    (len, None, "len", 1, 0), (Callable(), None, "Callable", 1, 0),
])  # fmt: skip
def test_what_a_function_says_of_itself_counts(
    function: Any, given: Any, name: str, cores: int, priority: float
) -> None:
    spec = decode_spec(asked(function, given).spec)
    assert (spec.name, spec.resources.cores, spec.policy.priority) == (name, cores, priority)
    assert not spec.comm


@pytest.mark.parametrize("function", [on_ranks, functools.partial(on_ranks, 1)])
def test_a_function_for_ranks_is_known(function: Any) -> None:
    spec = decode_spec(asked(function, None).spec)
    assert (spec.runtime, spec.comm, spec.resources.num_ranks) == ("mpi", True, 2)


@pytest.mark.parametrize(
    "given", [{"core": 1}, {"cores": -1}, [], {"output": "text"}, {"cores": object()}, {"concurrency": 2}]
)
def test_what_can_never_run_is_refused(given: Any) -> None:
    with pytest.raises(InvalidTask):
        asked(plain, given)
