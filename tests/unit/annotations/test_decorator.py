import functools
import inspect
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any

import dill
import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.providers import LocalProvider
from parsl.serialize import pack_apply_message

from rhapsody_parsl import MPI, VLLM, Dragon, Policy, annotate
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.functions import facts_of


@annotate(Dragon(cores=2), Policy(priority=3))
def scaled(values: list[int], factor: int = 2, *, offset: int = 0) -> list[int]:
    """Scale."""
    return [value * factor + offset for value in values]


def test_a_decorated_function_is_called_as_before() -> None:
    assert scaled([1, 2]) == [2, 4]
    assert scaled([1], 3, offset=1) == [4]
    assert scaled([1], parsl_resource_specification={"cores": 9}) == [2]  # type: ignore[call-arg]  # as Parsl calls it
    assert (scaled.__name__, scaled.__doc__, scaled.__module__) == ("scaled", "Scale.", __name__)


def test_the_signature_tells_parsl_where_the_specification_is() -> None:
    parameters = inspect.signature(scaled).parameters
    assert list(parameters) == ["values", "factor", "offset", "parsl_resource_specification"]
    assert parameters["parsl_resource_specification"].default == {}, "other executors refuse keys they do not know"
    assert facts_of(scaled).annotation == {"runtime": "dragon", "cores": 2, "priority": 3}


def test_var_keywords_stay_last() -> None:
    @annotate(Dragon())
    def take(*args: int, **kwargs: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, kwargs

    assert take(1, b=2) == ((1,), {"b": 2})
    assert list(inspect.signature(take).parameters) == ["args", "parsl_resource_specification", "kwargs"]


@pytest.mark.parametrize(("part", "keys"), [
    (Dragon(), {"runtime": "dragon"}),
    (MPI(ranks=2, gpus_per_rank=0.5), {"runtime": "mpi", "ranks": 2, "gpus_per_rank": 0.5}),
    (VLLM("llm", max_tokens=5, full=True), {"runtime": "vllm", "service": "llm", "max_tokens": 5, "full": True}),
    (VLLM("encoder", ask="embed"), {"runtime": "vllm", "service": "encoder", "ask": "embed"}),
    (Policy(labels=("a",)), {"labels": ("a",)}),
])  # fmt: skip
def test_parts_are_dicts(part: Any, keys: dict[str, Any]) -> None:
    assert part.as_dict() == keys


def test_later_parts_override_earlier_ones() -> None:
    @annotate(MPI(ranks=2), Policy(priority=1), {"num_ranks": 4})
    def run() -> None: ...

    assert facts_of(run).annotation == {"runtime": "mpi", "num_ranks": 4, "priority": 1}


def test_a_wrong_annotation_is_refused_at_definition() -> None:
    with pytest.raises(InvalidTask, match="unknown key"):
        annotate({"coers": 2})(lambda: None)
    with pytest.raises(InvalidTask, match="only an MPI function has many results"):
        annotate(MPI(ranks=2), Policy(returns="all"))(lambda: None)


def test_facts_see_through_other_decorators() -> None:
    @annotate(MPI(ranks=2))
    def on_ranks(x: int, comm: Any = None) -> int:
        return x

    @functools.wraps(on_ranks)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return on_ranks(*args, **kwargs)

    assert facts_of(outer).annotation == {"runtime": "mpi", "ranks": 2} or facts_of(outer).annotation == {
        "runtime": "mpi", "num_ranks": 2,
    }  # fmt: skip
    assert facts_of(outer).comm


OPEN = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'rhapsody_parsl':
            raise AssertionError('rhapsody_parsl was asked for')
sys.meta_path.insert(0, Refuse())
from parsl.serialize import unpack_apply_message
function, args, kwargs = unpack_apply_message(sys.stdin.buffer.read())
print(function(*args, **kwargs))
"""


def test_the_other_side_needs_nothing_of_ours(tmp_path: Path) -> None:
    """The user's script is `__main__`, as it mostly is: dill ships its functions by value."""
    script = tmp_path / "campaign.py"
    script.write_text(
        "import sys\n"
        "from parsl.serialize import pack_apply_message\n"
        "from rhapsody_parsl import Dragon, Policy, annotate\n"
        "@annotate(Dragon(cores=2), Policy(walltime=9))\n"
        "def tripled(x, comm=None):\n"
        "    return 3 * x\n"
        "sys.stdout.buffer.write(pack_apply_message(tripled, [14], {}))\n"
    )
    payload = subprocess.run([sys.executable, str(script)], check=True, capture_output=True).stdout
    opened = subprocess.run([sys.executable, "-c", OPEN], input=payload, check=False, capture_output=True)
    assert opened.stdout == b"42\n", opened.stderr.decode()


def test_a_function_of_a_module_travels_by_name() -> None:
    payload = pack_apply_message(scaled, [[1]], {})
    assert b"rhapsody_parsl" not in payload
    assert dill.loads(dill.dumps(scaled))([2]) == [4]
    assert len(list(pickletools.genops(dill.dumps(scaled)))) < 10


def executors(kind: str) -> ParslExecutor:
    if kind == "threads":
        return ThreadPoolExecutor(label=kind)
    return HighThroughputExecutor(label=kind, address="127.0.0.1", max_workers_per_node=1, provider=LocalProvider())


@pytest.mark.filterwarnings("ignore")  # both leave files and sockets to the garbage collector
@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", ["threads", "htex"])
def test_annotated_apps_run_on_other_executors(kind: str, tmp_path: Path) -> None:
    def add(x: int, y: int = 1) -> int:
        return x + y

    def words(text: str, stdout: str = "") -> str:
        return f"echo {text}"

    out = tmp_path / "out.txt"
    with parsl.load(Config(executors=[executors(kind)], run_dir=str(tmp_path / "runs"), initialize_logging=False)):
        app = python_app(annotate(Dragon(cores=1), Policy(walltime=9))(add))
        assert app(1).result() == 2
        assert app(1, y=5).result() == 6
        assert bash_app(annotate(MPI(ranks=2))(words))("hello", stdout=str(out)).result() == 0
    assert out.read_text() == "hello\n"


@pytest.mark.parametrize("given", [max, int, functools.partial(print), None, "x", python_app(len)])
def test_only_functions_are_annotated(given: Any) -> None:
    with pytest.raises(
        InvalidTask, match=r"a (function|class) written in Python is needed\. Write it below @python_app"
    ):
        annotate({"cores": 1})(given)
