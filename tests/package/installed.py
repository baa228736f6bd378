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
from rhapsody_parsl import MPI, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, annotate

_NEEDED = {"telemetry": "opentelemetry.sdk.trace", "mcp": "mcp.server.mcpserver", "openai": "openai"}
"""What the package imports of an extra."""


def square(x: int) -> int:
    return x * x


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
    for extra in ("telemetry", "mcp", "openai"):
        if extra in extras:
            importlib.import_module(_NEEDED[extra])
            tried.append(extra)
    if "globus" in extras:
        assert "usage" in ran("rhapsody-globus-compute-endpoint", "--help").lower()
        tried.append("globus")
    print(f"package: [{','.join(sorted(extras))}] on Python {platform.python_version()}: {', '.join(tried)} work")  # noqa: T201 - the line that `tools/package.sh` shows


if __name__ == "__main__":
    main()
