"""How a process is started on another host of the block: which launchers there are, and the argv of each.

Pure, but that Flux is asked for its hosts.
"""

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from rhapsody_parsl.cluster.batch import flux_hosts
from rhapsody_parsl.cluster.launched import OF_A_STEP
from rhapsody_parsl.cluster.names import is_host
from rhapsody_parsl.errors import InvalidTask, RhapsodyError
from rhapsody_parsl.wording import nearest

__all__ = ("NodeLauncher", "Unreachable", "check_node_launcher", "detect")

_WAYS: dict[str, tuple[str, ...]] = {
    "srun": (
        "srun", "--overlap", "--nodes=1", "--ntasks=1", "--nodelist={host}", "--cpu-bind=none", "--mpi=none",
        "--export=ALL", "--unbuffered", "--quiet",
    ),
    "ssh": ("ssh", "-T", "-x", "-a", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "{host}"),
    "pals": ("mpiexec", "--hosts", "{host}", "-n", "1", "--ppn", "1", "--cpu-bind", "none"),
    "flux": ("flux", "exec", "--quiet", "--rank={rank}"),
}  # fmt: skip
"""`--overlap`: the pilot's own step holds the cores; Flux's `exec` takes none, where `run` would wait for some.
No way binds: a process is to see all that is ours on the host."""

_OPTIONS_OF_SRUN = (
    *OF_A_STEP, "SRUN_", "SLURM_CPU_", "SLURM_CPUS_PER_", "SLURM_MEM_", "SLURM_GPU", "SLURM_TRES_", "SLURM_HINT",
    "SLURM_THREAD", "SLURM_CORE_SPEC", "SLURM_NCORES_PER_SOCKET",
    "SLURM_GRES", "SLURM_CONSTRAINT", "SLURM_CLUSTER_CONSTRAINT", "SLURM_CLUSTERS", "SLURM_EXCLUSIVE", "SLURM_EXACT",
    "SLURM_OVERLAP", "SLURM_OVERCOMMIT", "SLURM_WHOLE", "SLURM_EXPORT_ENV", "SLURM_HOSTFILE", "SLURM_SPREAD_JOB",
    "SLURM_USE_MIN_NODES", "SLURM_RELATIVE", "SLURM_KILL_BAD_EXIT", "SLURM_NO_KILL", "SLURM_WAIT",
    "SLURM_IMMEDIATE", "SLURM_TIMELIMIT", "SLURM_SIGNAL", "SLURM_NETWORK", "SLURM_RESV_PORTS", "SLURM_REMOTE_CWD",
    "SLURM_WORKING_DIR", "SLURM_LABELIO", "SLURM_UNBUFFEREDIO", "SLURM_STDINMODE", "SLURM_STDOUTMODE",
    "SLURM_STDERRMODE", "SLURM_OPEN_MODE", "SLURM_PROLOG", "SLURM_EPILOG", "SLURM_TASK_PROLOG", "SLURM_TASK_EPILOG",
    "SLURM_BCAST", "SLURM_PROFILE", "SLURM_ACCTG_FREQ", "SLURM_POWER", "SLURM_DEPENDENCY", "SLURM_TEST_EXEC",
    "SLURM_MULTI_PROG", "SLURM_DEBUG", "SLURM_HET_GROUP", "SLURM_NODE_USAGE",
)  # fmt: skip
"""What `srun` takes for options, by the beginnings of their names (srun(1), INPUT ENVIRONMENT VARIABLES). A job sets
some of them, a user's profile others; they contradict each other and the step that we compose. What describes the job
(`SLURM_JOB_...`, `SLURM_NODELIST`, `SLURM_TASKS_PER_NODE`) is none of them, nor what sites set of their own."""

_ATTACH = "pbs_attach"
"""By ssh into a PBS job: its MoM then accounts for, confines (cgroup hook) and ends what we start there."""

Which = Callable[[str], str | None]
Hosts = Callable[[], Sequence[str]]


class Unreachable(RhapsodyError):  # noqa: N818 - named for what happened
    """There is no way to start a process on the block's other hosts."""

    def sentence(self) -> str:
        """Name the ways and the setting."""
        return (
            f"{self.args[0]}. Ways to start a process on another host are {', '.join((*_WAYS, _ATTACH))}, or a command "
            "of your own with {host} in it: RhapsodyExecutor(node_launcher=...)."
        )


class NodeLauncher(msgspec.Struct, frozen=True):
    """One way to start a process on a host.

    Attributes:
        kind: `srun`, `ssh`, `pals`, `flux`, or `own` for a command of the user's.
        start: Its arguments; `{host}` and `{rank}` are filled in.
        within: Words that start the command there.
        brokers: The hosts of Flux's ranks.
    """

    kind: str
    start: tuple[str, ...]
    within: tuple[str, ...] = ()
    brokers: tuple[str, ...] = ()

    def argv(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the argv that runs a command on a host; its standard streams are the command's.

        Raises:
            Unreachable: Flux has no broker there.
        """
        rank = self._rank(host) if self.brokers else ""
        argv = [word.replace("{host}", host).replace("{rank}", rank) for word in self.start]
        command = [*self.within, *command]
        if "ssh" in Path(self.start[0]).name:
            return [*argv, f"exec {shlex.join(command)}"]  # ssh joins what it is given, and a shell reads it
        return [*argv, *command]

    def _rank(self, host: str) -> str:
        ranks = (rank for rank, name in enumerate(self.brokers) if is_host(name, host))
        if (rank := next(ranks, None)) is None:
            raise Unreachable(f"Flux has no broker on {host}, but on {', '.join(dict.fromkeys(self.brokers))}")
        return str(rank)


def check_node_launcher(wanted: str) -> None:
    """Check a `node_launcher` as far as that is possible anywhere.

    Raises:
        InvalidTask: It is no known way, and no command with `{host}` in it.
    """
    ways = ("auto", *_WAYS, _ATTACH)
    if "{host}" not in wanted and wanted not in ways:
        known = f"known are {', '.join(ways)}, or a command of your own with {{host}} in it"
        raise InvalidTask("node_launcher", wanted, known, nearest(wanted, ways))
    try:
        shlex.split(wanted)
    except ValueError as problem:
        raise InvalidTask("node_launcher", wanted, f"it cannot be split into words: {problem}") from None


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return variables to compose steps of Slurm's with: without what `srun` would take for options."""
    return {name: value for name, value in inherited.items() if not name.startswith(_OPTIONS_OF_SRUN)}


def detect(
    wanted: str, env: Mapping[str, str], which: Which = shutil.which, brokers: Hosts = flux_hosts
) -> NodeLauncher:
    """Return the way to the block's other hosts.

    Args:
        wanted: `auto`, a way's name, or a command with `{host}` in it.
        env: Where the batch system's variables are.
        which: Finds programs.
        brokers: Asks for the hosts of Flux's ranks.

    Raises:
        Unreachable: The way that is wanted does not exist here, or there is none.
        InventoryUnknown: Flux does not answer.
    """
    if "{host}" in wanted:
        return NodeLauncher("own", tuple(shlex.split(wanted)))
    if wanted == _ATTACH:
        return msgspec.structs.replace(detect("ssh", env, which), within=_attaching(env, which))
    kind = _kind(env, which) if wanted == "auto" else wanted
    if kind not in _WAYS:
        raise Unreachable(f"node_launcher={wanted!r} is no way to another host")
    program, *rest = _WAYS[kind]
    found = which(program)
    if found is None:
        raise Unreachable(f"The block has several hosts, and '{program}' is not on the PATH of the first")
    if kind == "flux":
        return NodeLauncher(kind, _flux(found, rest, env), brokers=tuple(brokers()))
    return NodeLauncher(kind, (found, *rest))


def _flux(program: str, rest: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """Make `flux exec` pass lines on as they come, by a library that goes no further, and its end be survived.

    When it is killed Flux kills the process group of what it started: `setsid` stands there, and our command notices.
    """
    job = [f"--jobid={env['FLUX_JOB_ID']}"] if "FLUX_JOB_ID" in env else []
    library = [f"LD_PRELOAD={env['LD_PRELOAD']}"] if env.get("LD_PRELOAD") else ["-u", "LD_PRELOAD"]
    return ("stdbuf", "-oL", program, *rest, *job, "setsid", "--wait", "env", "-u", "_STDBUF_O", *library)


def _attaching(env: Mapping[str, str], which: Which) -> tuple[str, ...]:
    """Return the arguments that make a process on any host of a PBS job part of it; ssh sets no PATH there."""
    program, job = which(_ATTACH), env.get("PBS_JOBID")
    if not program or not job:
        raise Unreachable(f"{_ATTACH!r} is not on the PATH" if job else f"node_launcher={_ATTACH!r} is for PBS jobs")
    return program, "-j", job


def _kind(env: Mapping[str, str], which: Which) -> str:
    if env.get("SLURM_JOB_ID") and which("srun"):
        return "srun"
    if env.get("FLUX_URI") and which("flux"):
        return "flux"
    mpiexec = which("mpiexec")
    if env.get("PBS_JOBID") and mpiexec and "pals" in Path(mpiexec).resolve().parts:
        return "pals"
    return "ssh"
