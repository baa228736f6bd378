"""Launch lines: which MPI launcher there is, and what it is told.

Composing is pure; `detect` asks the program for its name.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.errors import MissingPackage, RuntimeUnavailable
from rhapsody_parsl.hosts.process import asked
from rhapsody_parsl.runtimes.mpi.launch import bind
from rhapsody_parsl.runtimes.mpi.launch.places import Place, plan

__all__ = ("Kind", "Launcher", "candidates", "detect", "identify")

Kind = Literal["hydra", "openmpi", "srun", "pals", "flux", "mpiexec", "aprun"]
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "auto": ("mpiexec", "mpirun", "srun", "flux"),
    "hydra": ("mpiexec.hydra", "mpiexec"),
    "openmpi": ("mpirun", "mpiexec"),
    "srun": ("srun",),
    "pals": ("mpiexec",),
    "flux": ("flux",),
    "mpiexec": ("mpiexec",),
    "aprun": ("aprun",),
}
_TAKEN_AS_NAMED = ("mpiexec", "aprun")
_LOCAL_RANK: dict[str, str] = {
    "hydra": "MPI_LOCALRANKID",
    "openmpi": "OMPI_COMM_WORLD_LOCAL_RANK",
    "srun": "SLURM_LOCALID",
    "pals": "PALS_LOCAL_RANKID",
    "flux": "FLUX_TASK_LOCAL_ID",
}
"""Where each launcher puts a rank's number on its host."""
_IN_SLURM: dict[str, dict[str, str]] = {
    "hydra": {"HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap --mpi=none --cpu-bind=none --export=ALL"},
    "openmpi": {
        "SLURM_OVERLAP": "1",
        "SLURM_EXPORT_ENV": "ALL",
        "PRTE_MCA_ras_slurm_use_entire_allocation": "1",  # from Open MPI 5 on
        "OMPI_MCA_ras_slurm_use_entire_allocation": "1",  # before
    },
}
"""Both start their daemons as a step, and other steps hold the cores. Open MPI puts no more ranks on a host, whatever
we say, than the job has tasks there, unless told to count the cores of the job."""
_SESSION_FOLDERS = ("PRTE_MCA_prte_tmpdir_base", "OMPI_MCA_orte_tmpdir_base")
"""Where Open MPI has the folder of each launch; from Open MPI 5 on, and before."""
_HYDRAS = {"srun": "slurm", "flux": "rsh"}
"""Its names for the ways to other hosts that are not ssh."""
_VERSION_TIMEOUT = 20.0


_BIND_ALIKE = ("hydra", "srun", "pals")
"""Launchers that can bind the ranks of each host, if they are to be bound alike on all of them."""


class Launcher(msgspec.Struct, frozen=True):
    """An MPI launcher.

    Attributes:
        kind: Whose command line it understands.
        program: Absolute path.
        options: The user's further arguments for every launch.
        root: Whether we are root, which Open MPI wants to hear said.
        node_launcher: How the block's other hosts are reached: `srun`, `ssh`, ...
        python: The block's interpreter, for `bind`.
    """

    kind: Kind
    program: str
    options: tuple[str, ...] = ()
    root: bool = False
    node_launcher: str = "ssh"
    python: str = sys.executable

    def line(self, places: Sequence[Place], local: bool, options: Sequence[str] = ()) -> list[str]:
        """Return the arguments that start ranks, up to the program to start.

        Args:
            places: Where; ranks are numbered in this order.
            local: Whether all of it is the host the launcher runs on: then the ranks inherit its affinity mask.
            options: Further arguments; one of ours that they say otherwise is left out.
        """
        own = _DIALECTS[self.kind](places, local)
        if self.kind == "hydra" and self.node_launcher in _HYDRAS and not local:
            own[0] = ("-launcher", _HYDRAS[self.node_launcher])
        if self.kind == "openmpi" and self.root:
            own.append(("--allow-run-as-root",))
        theirs = (*self.options, *options)
        said = {word.lstrip("-").partition("=")[0] for word in theirs}
        kept = [option for option in own if option[0].lstrip("-").partition("=")[0] not in said]
        return [*self._program(places), *(word for option in kept for word in option), *theirs]

    def _program(self, places: Sequence[Place]) -> list[str]:
        if self.kind != "flux":
            return [self.program]
        return [self.python, "-m", "rhapsody_parsl.runtimes.mpi.launch.flux_run", self.program, _slots(places)]

    def binding(self, places: Sequence[Place], local: bool, gpu_variable: str = "") -> list[str]:
        """Return arguments between a launch line and the program, to bind what the launcher cannot; mostly none.

        Args:
            places: As for `line`.
            local: As for `line`.
            gpu_variable: The vendor's; needed when ranks have GPUs of their own.
        """
        has_gpus = any(any(place.gpus) for place in places)
        if self.kind not in _LOCAL_RANK:  # a launcher nobody knows binds as its options say
            return []
        inherited = local and self.kind != "flux"  # whose ranks are the broker's children
        if not has_gpus and (inherited or (_alike(places) and self.kind in _BIND_ALIKE)):
            return []
        count = sum(len(place.ranks) for place in places)
        argv = [_LOCAL_RANK[self.kind], str(count), gpu_variable or "-", plan(places)]
        return [self.python, "-I", "-S", bind.__file__, *argv]

    def environment(self, inherited: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Return what launches need besides their argv: the way to other hosts; Open MPI's folder of sessions.

        Args:
            inherited: Variables as they are.
            folder: Private, on each host: a launch that is killed leaves its session there.
        """
        ways = {"srun": _IN_SLURM, "flux": _in_flux(self.python)}
        own = dict(ways.get(self.node_launcher, {}).get(self.kind, {}))
        if self.kind == "openmpi":
            own |= {name: str(folder) for name in _SESSION_FOLDERS if name not in inherited}
        return own


def _in_flux(python: str) -> dict[str, dict[str, str]]:
    """Programs that would take ssh to other hosts take Flux."""
    module = "-m rhapsody_parsl.cluster.shell"
    return {
        "hydra": {"HYDRA_LAUNCHER_EXEC": python, "HYDRA_LAUNCHER_EXTRA_ARGS": module},
        "openmpi": {
            "PRTE_MCA_plm_ssh_agent": f"{python} {module}",  # from Open MPI 5 on
            "OMPI_MCA_plm_rsh_agent": f"{python} {module}",  # before
        },
    }


_Options = list[tuple[str, ...]]


def _count(places: Sequence[Place]) -> str:
    return str(sum(len(place.ranks) for place in places))


def _even(places: Sequence[Place]) -> int:
    """How many ranks each place has, or 0 when they differ."""
    counts = {len(place.ranks) for place in places}
    return counts.pop() if len(counts) == 1 else 0


def _most(places: Sequence[Place]) -> str:
    return str(max(len(place.ranks) for place in places))


def _alike(places: Sequence[Place]) -> bool:
    first = places[0].ranks
    return all(place.ranks is first or place.ranks == first for place in places)


def _slots(places: Sequence[Place]) -> str:
    return ",".join(f"{place.host}:{len(place.ranks)}" for place in places)


def _hydra(places: Sequence[Place], local: bool) -> _Options:
    """`-rmk user` keeps it from taking the nodes of the batch job for its own."""
    if local:
        return [("-launcher", "fork"), ("-rmk", "user"), ("-bind-to", "none"), ("-n", _count(places))]
    argv: _Options = [("-launcher", "ssh"), ("-rmk", "user")]
    alike = "user:" + ",".join("+".join(map(str, cores)) for cores in places[0].ranks)
    argv.append(("-bind-to", alike if _alike(places) else "none"))
    argv.append(("-n", _count(places)))
    if per_host := _even(places):
        return [*argv, ("-ppn", str(per_host)), ("-hosts", ",".join(place.host for place in places))]
    return [*argv, ("-hosts", _slots(places))]


def _openmpi(places: Sequence[Place], local: bool) -> _Options:
    """Slots are given with each host, so that more ranks than real cores are no mistake."""
    hosts = f"localhost:{_count(places)}" if local else _slots(places)
    return [("--bind-to", "none"), ("--oversubscribe",), ("-n", _count(places)), ("--host", hosts)]


def _srun(places: Sequence[Place], local: bool) -> _Options:
    """`--overlap`: the pilot's own step holds the cores; `--kill-on-bad-exit`: no rank stays when one is lost."""
    argv: _Options = [("--mpi=pmi2",), ("--overlap",), ("--kill-on-bad-exit=1",), ("--export=ALL",)]
    argv.append(("--ntasks", _count(places)))
    if per_node := _even(places):
        argv += [("--ntasks-per-node", str(per_node)), ("--nodelist", ",".join(p.host for p in places))]
    else:
        named = ",".join(place.host for place in places for _ in place.ranks)
        argv += [("--distribution=arbitrary",), ("--nodelist", named)]
    argv.append(("--nodes", str(len(places))))
    masks = ",".join(f"0x{sum(1 << core for core in set(cores)):x}" for cores in places[0].ranks)
    argv.append((f"--cpu-bind=mask_cpu:{masks}" if _alike(places) else "--cpu-bind=none",))
    return argv


def _mpiexec(places: Sequence[Place], local: bool) -> _Options:
    """The arguments of MPIExecutor, which every `mpiexec` takes; they know one number of ranks for all hosts."""
    return [("-n", _count(places)), ("-ppn", _most(places)), ("-hosts", ",".join(place.host for place in places))]


def _aprun(places: Sequence[Place], local: bool) -> _Options:
    return [("-n", _count(places)), ("-N", _most(places)), ("-L", ",".join(place.host for place in places))]


def _pals(places: Sequence[Place], local: bool) -> _Options:
    argv: _Options = [("-n", _count(places)), ("--hosts", ",".join(place.host for place in places))]
    if per_host := _even(places):
        argv.insert(1, ("--ppn", str(per_host)))
    else:
        argv[1] = ("--ppn", "1")
        argv.append(("--hosts", ",".join(place.host for place in places for _ in place.ranks)))
    binding = "list:" + ":".join(",".join(map(str, cores)) for cores in places[0].ranks)
    return [*argv, ("--cpu-bind", binding if _alike(places) else "none")]


def _flux(places: Sequence[Place], local: bool) -> _Options:
    """`flux_run` says where, `bind` binds; `exit-on-error`: no rank stays when one is lost."""
    off = [(f"--setopt={what}=off",) for what in ("cpu-affinity", "gpu-affinity")]
    return [("-n", _count(places)), *off, ("--setopt=exit-on-error",)]


_DIALECTS: dict[Kind, Callable[[Sequence[Place], bool], _Options]] = {
    "hydra": _hydra,
    "openmpi": _openmpi,
    "srun": _srun,
    "pals": _pals,
    "flux": _flux,
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
    if "pals" in text:
        return "pals"
    if "libflux-core" in text:
        return "flux"
    return "srun" if text.startswith("slurm") else None


def candidates(config: MPIRuntime, python: str, path: str) -> list[str]:
    """Return the programs that may be the launcher: the one named, or those beside the Python, then those on PATH."""
    folders = [str(Path(python).parent), path]
    names = (config.executable,) if config.executable else _PROGRAMS[config.launcher]
    found = [shutil.which(name, path=folder) for folder in folders for name in names]
    return list(dict.fromkeys(str(Path(program).absolute()) for program in found if program))


async def detect(config: MPIRuntime, python: str, node_launcher: str = "ssh") -> Launcher:
    """Find the launcher.

    Args:
        config: The user's.
        python: The block's interpreter.
        node_launcher: How the block's other hosts are reached.

    Raises:
        MissingPackage: There is none.
        RuntimeUnavailable: The one the user names is not what they say.
    """
    programs = candidates(config, python, os.environ.get("PATH", ""))
    heard: list[str] = []
    for program in programs:
        version = await _version(program)
        kind = "pals" if "pals" in Path(program).resolve().parts else identify(version)
        if kind is None and config.launcher != "auto" and (config.executable or config.launcher in _TAKEN_AS_NAMED):
            kind = config.launcher
        if kind and config.launcher in ("auto", "mpiexec", kind):
            return Launcher(kind, program, tuple(config.options), os.geteuid() == 0, node_launcher, python)
        heard.append(f"{program} says it is {version.strip().splitlines()[0] if version.strip() else 'nothing'}")
    if config.executable or config.launcher != "auto":
        wanted = config.executable or config.launcher
        raise RuntimeUnavailable("mpi", f"launcher {wanted} was not found ({'; '.join(heard) or 'no such program'})")
    raise MissingPackage("An MPI launcher (mpiexec, mpirun or srun)", "mpi", python)


async def _version(program: str) -> str:
    try:
        answer = await asked([program, "--version"], _VERSION_TIMEOUT)
    except OSError as problem:
        if problem.errno not in (errno.ENOEXEC, errno.ENOENT, errno.EACCES):
            raise  # it may be a launcher: there is no process more, or no descriptor
        return os.strerror(problem.errno)
    return (answer or b"").decode(errors="replace")
