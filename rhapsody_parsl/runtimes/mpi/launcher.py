"""Launch lines: which MPI launcher there is, and what it is told.

Composing is pure; `detect` asks the program for its name.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from rhapsody_parsl.errors import MissingPackage, RuntimeUnavailable
from rhapsody_parsl.runtimes.protocol import Placed
from rhapsody_parsl.spec.config import MPIRuntime

__all__ = ("Kind", "Launcher", "Place", "candidates", "chunks", "detect", "identify", "places_of")

Kind = Literal["hydra", "openmpi", "srun", "mpiexec", "aprun"]
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "auto": ("mpiexec", "mpirun", "srun"),
    "hydra": ("mpiexec.hydra", "mpiexec"),
    "openmpi": ("mpirun", "mpiexec"),
    "srun": ("srun",),
    "mpiexec": ("mpiexec",),
    "aprun": ("aprun",),
}
_TAKEN_AS_NAMED = ("mpiexec", "aprun")
_VERSION_TIMEOUT = 20.0


class Place(msgspec.Struct, frozen=True):
    """A host and the real cores of each rank on it.

    Attributes:
        host: Name as the launcher takes it.
        ranks: For each rank there, its cores.
    """

    host: str
    ranks: tuple[tuple[int, ...], ...]


def chunks(placed: Placed) -> list[tuple[int, ...]]:
    """Return the declared cores of each rank of a share: equal, in order."""
    each = len(placed.share.cores) // placed.ranks
    return [placed.share.cores[rank * each : (rank + 1) * each] for rank in range(placed.ranks)]


def places_of(placed: Iterable[Placed]) -> list[Place]:
    """Return a lease as places, nodes of one host as one."""
    ranks: dict[str, list[tuple[int, ...]]] = {}
    for part in placed:
        ranks.setdefault(part.node.host, []).extend(part.node.real(chunk) for chunk in chunks(part))
    return [Place(host, tuple(cores)) for host, cores in ranks.items()]


class Launcher(msgspec.Struct, frozen=True):
    """An MPI launcher.

    Attributes:
        kind: Whose command line it understands.
        program: Absolute path.
        options: The user's further words for every launch.
        root: Whether we are root, which Open MPI wants to hear said.
    """

    kind: Kind
    program: str
    options: tuple[str, ...] = ()
    root: bool = False

    def line(self, places: Sequence[Place], local: bool, options: Sequence[str] = ()) -> list[str]:
        """Return the words that start ranks, up to the program to start.

        Args:
            places: Where; ranks are numbered in this order.
            local: Whether all of it is the host the launcher runs on: then the ranks inherit its affinity mask.
            options: Further words; a word of ours that they say otherwise is left out.
        """
        own = _DIALECTS[self.kind](places, local)
        if self.kind == "openmpi" and self.root:
            own.append(("--allow-run-as-root",))
        theirs = (*self.options, *options)
        said = {word.lstrip("-").partition("=")[0] for word in theirs}
        kept = [words for words in own if words[0].lstrip("-").partition("=")[0] not in said]
        return [self.program, *(word for words in kept for word in words), *theirs]

    def environment(self, python: str, inherited: str) -> dict[str, str]:
        """Return what programs need to find the launcher's libraries, when it lives in the Python's own prefix.

        Args:
            python: The interpreter.
            inherited: `LD_LIBRARY_PATH` as it is.
        """
        lib = Path(python).parent.parent / "lib"
        if Path(self.program).parent != Path(python).parent or not any(lib.glob("libmpi.so*")):
            return {}
        others = [part for part in inherited.split(os.pathsep) if part and part != str(lib)]
        return {"LD_LIBRARY_PATH": os.pathsep.join([str(lib), *others])}


_Words = list[tuple[str, ...]]


def _count(places: Sequence[Place]) -> str:
    return str(sum(len(place.ranks) for place in places))


def _even(places: Sequence[Place]) -> int:
    """How many ranks each place has, or 0 when they differ."""
    counts = {len(place.ranks) for place in places}
    return counts.pop() if len(counts) == 1 else 0


def _most(places: Sequence[Place]) -> str:
    return str(max(len(place.ranks) for place in places))


def _alike(places: Sequence[Place]) -> bool:
    return len({place.ranks for place in places}) == 1


def _slots(places: Sequence[Place]) -> str:
    return ",".join(f"{place.host}:{len(place.ranks)}" for place in places)


def _hydra(places: Sequence[Place], local: bool) -> _Words:
    """`-rmk user` keeps it from taking the nodes of the batch job for its own."""
    if local:
        return [("-launcher", "fork"), ("-rmk", "user"), ("-bind-to", "none"), ("-n", _count(places))]
    words: _Words = [("-launcher", "ssh"), ("-rmk", "user")]
    if _alike(places):
        words.append(("-bind-to", "user:" + ",".join("+".join(map(str, cores)) for cores in places[0].ranks)))
    words.append(("-n", _count(places)))
    if per_host := _even(places):
        return [*words, ("-ppn", str(per_host)), ("-hosts", ",".join(place.host for place in places))]
    return [*words, ("-hosts", _slots(places))]


def _openmpi(places: Sequence[Place], local: bool) -> _Words:
    """Slots are given with each host, so that more ranks than real cores are no mistake."""
    hosts = f"localhost:{_count(places)}" if local else _slots(places)
    return [("--bind-to", "none"), ("--oversubscribe",), ("-n", _count(places)), ("--host", hosts)]


def _srun(places: Sequence[Place], local: bool) -> _Words:
    """`--overlap`: the pilot's own step holds the cores; `--kill-on-bad-exit`: no rank stays when one is lost."""
    words: _Words = [("--mpi=pmi2",), ("--overlap",), ("--kill-on-bad-exit=1",), ("--ntasks", _count(places))]
    if per_node := _even(places):
        words += [("--ntasks-per-node", str(per_node)), ("--nodelist", ",".join(p.host for p in places))]
    else:
        named = ",".join(place.host for place in places for _ in place.ranks)
        words += [("--distribution=arbitrary",), ("--nodelist", named)]
    words.append(("--nodes", str(len(places))))
    if _alike(places):
        masks = ",".join(f"0x{sum(1 << core for core in set(cores)):x}" for cores in places[0].ranks)
        words.append((f"--cpu-bind=mask_cpu:{masks}",))
    return words


def _mpiexec(places: Sequence[Place], local: bool) -> _Words:
    """The words of MPIExecutor, which every `mpiexec` takes; they know one number of ranks for all hosts."""
    return [("-n", _count(places)), ("-ppn", _most(places)), ("-hosts", ",".join(place.host for place in places))]


def _aprun(places: Sequence[Place], local: bool) -> _Words:
    return [("-n", _count(places)), ("-N", _most(places)), ("-L", ",".join(place.host for place in places))]


_DIALECTS: dict[Kind, Callable[[Sequence[Place], bool], _Words]] = {
    "hydra": _hydra,
    "openmpi": _openmpi,
    "srun": _srun,
    "mpiexec": _mpiexec,
    "aprun": _aprun,
}


def identify(version: str) -> Kind | None:
    """Return whose launcher says this when asked for its version."""
    text = version.lower()
    if "hydra" in text or "intel(r) mpi" in text:
        return "hydra"
    if any(word in text for word in ("open mpi", "openrte", "open-mpi", "prrte", "prte")):
        return "openmpi"
    return "srun" if text.startswith("slurm") else None


def candidates(config: MPIRuntime, python: str, path: str) -> list[str]:
    """Return the programs that may be the launcher: the one named, or those beside the Python, then those on PATH."""
    folders = [str(Path(python).parent), path]
    names = (config.executable,) if config.executable else _PROGRAMS[config.launcher]
    found = [shutil.which(name, path=folder) for folder in folders for name in names]
    return list(dict.fromkeys(str(Path(program).absolute()) for program in found if program))


async def detect(config: MPIRuntime, python: str) -> Launcher:
    """Find the launcher.

    Args:
        config: The user's.
        python: The block's interpreter.

    Raises:
        MissingPackage: There is none.
        RuntimeUnavailable: The one the user names is not what they say.
    """
    programs = candidates(config, python, os.environ.get("PATH", ""))
    heard: list[str] = []
    for program in programs:
        version = await _version(program)
        kind = identify(version)
        if kind and config.launcher in ("auto", "mpiexec", kind):
            return Launcher(kind, program, tuple(config.options), os.geteuid() == 0)
        if kind is None and config.launcher != "auto" and (config.executable or config.launcher in _TAKEN_AS_NAMED):
            return Launcher(config.launcher, program, tuple(config.options), os.geteuid() == 0)
        heard.append(f"{program} says it is {version.strip().splitlines()[0] if version.strip() else 'nothing'}")
    if config.executable or config.launcher != "auto":
        wanted = config.executable or config.launcher
        raise RuntimeUnavailable("mpi", f"launcher {wanted} was not found ({'; '.join(heard) or 'no such program'})")
    raise MissingPackage("An MPI launcher (mpiexec, mpirun or srun)", "mpi", python)


async def _version(program: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _VERSION_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return out.decode(errors="replace")
