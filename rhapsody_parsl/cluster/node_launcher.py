"""How processes are started on the block's other hosts: which launchers there are, and the argv of each.

Pure, but that Flux is asked for its hosts.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from rhapsody_parsl.cluster.batch import flux_hosts
from rhapsody_parsl.cluster.launched import OF_A_STEP
from rhapsody_parsl.cluster.names import is_host
from rhapsody_parsl.errors import InvalidTask, RhapsodyError
from rhapsody_parsl.wording import nearest

__all__ = ("NodeLauncher", "Unreachable", "check_node_launcher", "detect")

_SRUN = ("srun", "--overlap", "--cpu-bind=none", "--mpi=none", "--export=ALL", "--quiet")
_ONE_BLAUNCH = ("blaunch", "{host}")


class _Way(NamedTuple):
    """The arguments for one host, and those of one step for many, where there is such a step.

    No way binds: a process is to see all that is ours on the host. `by_file` is said of what copies its standard input
    to none or one of its processes only.
    """

    one: tuple[str, ...]
    step: tuple[str, ...] = ()
    by_file: bool = False


_WAYS: dict[str, _Way] = {
    "srun": _Way(
        (*_SRUN, "--nodes=1", "--ntasks=1", "--nodelist={host}", "--unbuffered"),
        (
            *_SRUN, "--nodes={count}", "--ntasks={count}", "--ntasks-per-node=1", "--nodelist={hosts}", "--input=all",
            "--no-kill", "--kill-on-bad-exit=0", "--wait=0",
        ),
    ),
    "ssh": _Way(("ssh", "-T", "-x", "-a", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "{host}")),
    "pals": _Way(
        ("mpiexec", "--hosts", "{host}", "-n", "1", "--ppn", "1", "--cpu-bind", "none"),
        (
            "mpiexec", "--hosts", "{hosts}", "-n", "{count}", "--ppn", "1", "--cpu-bind", "none",
            "--no-abort-on-failure",
        ),
        by_file=True,
    ),
    "flux": _Way(("flux", "exec", "--quiet", "--rank={rank}"), ("flux", "exec", "--quiet", "--rank={rank}")),
    "pbsdsh": _Way(("pbs_tmrsh", "{host}"), ("pbsdsh", "--"), by_file=True),
    "blaunch": _Way(_ONE_BLAUNCH, ("blaunch", "-z", "{hosts by spaces}"), by_file=True),
    "jsrun": _Way(
        _ONE_BLAUNCH,
        (
            "jsrun", "--nrs={count}", "--rs_per_host=1", "--tasks_per_rs=1", "--cpu_per_rs=ALL_CPUS",
            "--gpu_per_rs=ALL_GPUS", "--bind=none",
        ),
        by_file=True,
    ),
}  # fmt: skip
"""`--overlap`: the pilot's own step holds the cores; Flux's `exec` takes none, where `run` would wait for some. A step
outlives its processes and the nodes it loses: each process that is lost is started again alone."""

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

_HOST = re.compile(r"\{hosts?\}")

Which = Callable[[str], str | None]
Hosts = Callable[[], Sequence[str]]


class Unreachable(RhapsodyError):  # noqa: N818 - named for what happened
    """There is no way to start a process on the block's other hosts."""

    def sentence(self) -> str:
        """Name the ways and the setting."""
        return (
            f"{self.args[0]}. Ways to start a process on another host are {', '.join((*_WAYS, _ATTACH))}, or a command "
            "of your own with {host} or {hosts} in it: RhapsodyExecutor(node_launcher=...)."
        )


class NodeLauncher(msgspec.Struct, frozen=True):
    """One way to start a process on a host, or on many.

    Attributes:
        kind: Its name, or `own` for a command of the user's.
        one: Its arguments for one host; `{host}` and `{rank}` are filled in.
        step: Those of one step for many hosts; `{hosts}`, `{count}` and `{rank}` are filled in. () where there is none.
        by_file: Whether a process started so cannot be told anything on its standard input.
        within: Words that start the command there.
        brokers: The hosts of Flux's ranks.
    """

    kind: str
    one: tuple[str, ...]
    step: tuple[str, ...] = ()
    by_file: bool = False
    within: tuple[str, ...] = ()
    brokers: tuple[str, ...] = ()

    def argv(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the argv that runs a command on a host; its standard streams are the command's.

        Raises:
            Unreachable: Flux has no broker there.
        """
        return self._filled(self.one, [host], command)

    def step_argv(self, hosts: Sequence[str], command: Sequence[str]) -> list[str]:
        """Return the argv that runs a command once on each of some hosts, in one step.

        Raises:
            Unreachable: Flux has no broker on one of them.
        """
        return self._filled(self.step, hosts, command)

    def _filled(self, words: Sequence[str], hosts: Sequence[str], command: Sequence[str]) -> list[str]:
        facts = {
            "{host}": hosts[0],
            "{hosts}": ",".join(hosts),
            "{hosts by spaces}": " ".join(hosts),
            "{count}": str(len(hosts)),
            "{rank}": ",".join(map(str, sorted(map(self._rank, hosts)))) if self.brokers else "",
        }
        argv = [_filled(word, facts) for word in words]
        command = [*self.within, *command]
        if "ssh" in Path(words[0]).name:
            return [*argv, f"exec {shlex.join(command)}"]  # ssh joins what it is given, and a shell reads it
        return [*argv, *command]

    def _rank(self, host: str) -> int:
        ranks = (rank for rank, name in enumerate(self.brokers) if is_host(name, host))
        if (rank := next(ranks, None)) is None:
            raise Unreachable(f"Flux has no broker on {host}, but on {', '.join(dict.fromkeys(self.brokers))}")
        return rank


def _filled(word: str, facts: Mapping[str, str]) -> str:
    for mark, fact in facts.items():
        word = word.replace(mark, fact)
    return word


def check_node_launcher(wanted: str) -> None:
    """Check a `node_launcher` as far as that is possible anywhere.

    Raises:
        InvalidTask: It is no known way, and no command with `{host}` or `{hosts}` in it.
    """
    ways = ("auto", *_WAYS, _ATTACH)
    if not _HOST.search(wanted) and wanted not in ways:
        known = f"known are {', '.join(ways)}, or a command of your own with {{host}} or {{hosts}} in it"
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
        wanted: `auto`, a way's name, or a command with `{host}` or `{hosts}` in it.
        env: Where the batch system's variables are.
        which: Finds programs.
        brokers: Asks for the hosts of Flux's ranks.

    Raises:
        Unreachable: The way that is wanted does not exist here, or there is none.
        InventoryUnknown: Flux does not answer.
    """
    if _HOST.search(wanted):
        return _own(tuple(shlex.split(wanted)))
    if wanted == _ATTACH:
        return msgspec.structs.replace(detect("ssh", env, which), within=_attaching(env, which))
    kind = _kind(env, which) if wanted == "auto" else wanted
    if kind not in _WAYS:
        raise Unreachable(f"node_launcher={wanted!r} is no way to another host")
    way = _WAYS[kind]
    one = (_found(way.one[0], which), *way.one[1:])
    if kind == "flux":
        words = _flux(one[0], one[1:], env)
        return NodeLauncher(kind, words, words, brokers=tuple(brokers()))
    step = (_found(way.step[0], which), *way.step[1:]) if way.step and _is_once(kind, env) else ()
    return NodeLauncher(kind, one, step, way.by_file)


def _own(words: tuple[str, ...]) -> NodeLauncher:
    """A command with `{hosts}` in it is a step, and with one of them in their place it is the way to that one."""
    if "{hosts}" not in " ".join(words):
        return NodeLauncher("own", words)
    return NodeLauncher("own", tuple(word.replace("{hosts}", "{host}") for word in words), words, by_file=True)


def _found(program: str, which: Which) -> str:
    if found := which(program):
        return found
    raise Unreachable(f"The block has several hosts, and '{program}' is not on the PATH of the first")


def _is_once(kind: str, env: Mapping[str, str]) -> bool:
    """Whether a step has one process for each host: `pbsdsh` has one for each line of the job's file."""
    if kind != "pbsdsh":
        return True
    lines = Path(env["PBS_NODEFILE"]).read_text().split() if env.get("PBS_NODEFILE") else []
    return len(lines) == len(set(lines))


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
