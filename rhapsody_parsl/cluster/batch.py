"""Which hosts the batch system gave the block, and how much of each, in its own words."""

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec

from rhapsody_parsl.cluster import pbs
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.names import is_one_host, our_names, ours, short
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("InventoryUnknown", "NoAllocation", "NotListed", "allocated", "flux_hosts", "list_hosts", "slurm_counts")

_MOST_NAMED = 20
_MB = 1024**2 / 1e9
"""Slurm counts in these, we in GB."""
_MB_IN = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}


class InventoryUnknown(RhapsodyError):  # noqa: N818 - named for what happened
    """The batch system does not say what the block holds."""


class NoAllocation(InventoryUnknown):
    """This process stands in no batch job."""

    def sentence(self) -> str:
        """Name the variables that were looked for."""
        return (
            "This process stands in no allocation: none of RHAPSODY_HOSTFILE, SLURM_JOB_NODELIST, PBS_NODEFILE, "
            "LSB_MCPU_HOSTS, LSB_DJOB_HOSTFILE, PE_HOSTFILE, FLUX_URI and (with JOB_ID) NSLOTS is set. Start it inside "
            "one (salloc, sbatch, qsub -I, qrsh, bsub -Is, flux alloc), or take a provider that submits a job."
        )


class NotListed(InventoryUnknown):
    """The batch system lists the job's hosts, and this is none of them."""

    def __init__(self, source: str, hosts: Sequence[str], names: Sequence[str]) -> None:
        super().__init__(source, list(hosts), list(names))

    def sentence(self) -> str:
        """Name the list, who we are, and the remedy."""
        source, hosts, names = self.args
        more = " ..." if len(hosts) > _MOST_NAMED else ""
        return (
            f"{source} lists {', '.join(hosts[:_MOST_NAMED])}{more}, and this host ({', '.join(names)}) is none of "
            "them. A block's first process must run on a host of its job: from a login node take AllocationProvider; "
            "where names differ, write the hosts into a file, one per line: RHAPSODY_HOSTFILE. To use this host "
            f"alone, unset {source}."
        )


def list_hosts(environment: Mapping[str, str], here: str) -> list[Listed]:
    """Return the block's hosts, the one we stand on first; only that one outside a batch job.

    Args:
        environment: Where the batch system's variables are.
        here: This host's name.

    Raises:
        InventoryUnknown: The batch system's list cannot be read, or names this host nowhere.
    """
    hosts = allocated(environment)
    if not hosts:
        return [Listed(here)]
    names = our_names(environment, here)
    mine = ours([host.name for host in hosts], names)
    if not mine:
        raise NotListed(_source(environment), [host.name for host in hosts], names)
    return sorted(hosts, key=lambda host: host.name != mine[0])


def allocated(environment: Mapping[str, str]) -> list[Listed]:
    """Return the allocation's hosts in the batch system's order; none outside a batch job.

    Args:
        environment: Where the batch system's variables are.

    Raises:
        InventoryUnknown: The batch system's list cannot be read, or has no host in it.
    """
    source = _source(environment)
    if not source:
        return []
    try:
        hosts = _once(_READERS[source](environment))
    except (OSError, ValueError, LookupError) as problem:
        raise InventoryUnknown(f"{source}={environment[source]} does not list the job's hosts: {problem}") from None
    if not hosts:
        raise InventoryUnknown(f"{source}={environment[source]} lists no host on which the job has a core")
    return hosts


def _once(hosts: Iterable[Listed]) -> list[Listed]:
    """Add up what is listed of a host line by line, or under its short name and the one with its domain."""
    found: dict[str, Listed] = {}
    alike: dict[str, list[str]] = {}
    for host in hosts:
        names = alike.setdefault(short(host.name), [])
        if (known := next((name for name in names if is_one_host(name, host.name)), None)) is None:
            names.append(host.name)
            found[host.name] = host
        else:
            found[known] = msgspec.structs.replace(found[known], cores=found[known].cores + host.cores)
    return list(found.values())


def _source(env: Mapping[str, str]) -> str:
    """Return the variable that leads to the list of hosts, "" when there is none."""
    return next((name for name in _READERS if env.get(name) and (name != "NSLOTS" or env.get("JOB_ID"))), "")


def flux_hosts(source: str = "local") -> list[str]:
    """Return the hosts of Flux's brokers in the order of their ranks; a host has as many as were started on it.

    Args:
        source: `instance`, or `local` for those of the Flux job that we are a task of, if we are one.

    Raises:
        InventoryUnknown: It does not answer.
    """
    return _ask("Flux's list of hosts", "flux", "hostlist", "--expand", source)


def _slurm(env: Mapping[str, str]) -> list[Listed]:
    if size := _components(env):
        raise InventoryUnknown(
            f"This is a heterogeneous Slurm job of {size} components, and a block cannot span them. "
            "Submit one component as a job of its own, or one executor for each"
        )
    node_list = env["SLURM_JOB_NODELIST"]
    names = _ask(f"Slurm's node list {node_list}", "scontrol", "show", "hostnames", node_list)
    counts = slurm_counts(env.get("SLURM_JOB_CPUS_PER_NODE", ""))
    cores = counts if len(counts) == len(names) else [0] * len(names)
    per_node, per_core = _slurm_memory(env)
    return [Listed(n, c, round((per_node or per_core * c) * _MB, 6)) for n, c in zip(names, cores, strict=True)]


def _components(env: Mapping[str, str]) -> int:
    """Return how many components a heterogeneous job has; 0 when it is none, but was submitted from within one."""
    size = int(env.get("SLURM_HET_SIZE") or 0)
    own = {env.get(f"SLURM_JOB_ID_HET_GROUP_{number}") for number in range(size)}
    return size if env.get("SLURM_JOB_ID") in own else 0


def _slurm_memory(env: Mapping[str, str]) -> tuple[int, int]:
    """Return our MB per node, or else per core; 0 is unknown.

    Slurm is asked what the job has: a variable may be left of the job or the profile it was submitted from.
    """
    said = {what: env.get(f"SLURM_MEM_PER_{what.upper()}", "") for what in ("Node", "CPU")}
    if any(said.values()):
        with contextlib.suppress(InventoryUnknown):
            job = " ".join(_ask("What the job has", "scontrol", "show", "job", env.get("SLURM_JOB_ID", "")))
            said = dict(re.findall(r"MinMemory(Node|CPU)=(\d+[KMGT]?)", job))
    return _megabytes(said.get("Node", "")), _megabytes(said.get("CPU", ""))


def _megabytes(text: str) -> int:
    """Return the MB of `4000`, `4000M` or `4G`; 0 when it is no such number."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", text)
    return int(int(found[1]) * _MB_IN[found[2]]) if found else 0


def _pbs(env: Mapping[str, str]) -> list[Listed]:
    """OpenPBS is asked what is ours; Torque's file has a line for each core."""
    lines = [Listed(name, 1) for name in Path(env["PBS_NODEFILE"]).read_text().split()]
    if env.get("PBS_VERSION", "").upper().startswith("TORQUE") or "PBS_NUM_PPN" in env:
        return lines
    names, job = [host.name for host in _once(lines)], env.get("PBS_JOBID")
    return pbs.shares(job, names) if job and names else [Listed(name) for name in names]


def _grid_engine(env: Mapping[str, str]) -> list[Listed]:
    """A line of `PE_HOSTFILE` is `host slots queue processors`; a host may have one for each queue."""
    lines = [line.split() for line in Path(env["PE_HOSTFILE"]).read_text().splitlines()]
    return _with_slots((words[0], "".join(words[1:2])) for words in lines if words)


def _one_host(env: Mapping[str, str]) -> list[Listed]:
    """A job of Grid Engine without a parallel environment is on one host."""
    return _with_slots([(os.uname().nodename, env["NSLOTS"])])


def _with_slots(pairs: Iterable[tuple[str, str]]) -> list[Listed]:
    """Return hosts that have slots for us: one may be listed with none, as that which a job was started from."""
    return [Listed(name, slots) for name, text in pairs if (slots := _number(name, text))]


def _number(host: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number of slots of {host}")
    return int(text)


def slurm_counts(text: str) -> list[int]:
    """Return the numbers of `2(x3),4`."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(number) for number, times in found for _ in range(int(times or 1))]


def _lsf(env: Mapping[str, str]) -> list[Listed]:
    """`LSB_MCPU_HOSTS` is `hostA 4 hostB 8`; the file, for jobs too large for it, has a line a slot."""
    words = env.get("LSB_MCPU_HOSTS", "").split()
    if words:
        return _with_slots(zip_longest(words[::2], words[1::2], fillvalue=""))
    return [Listed(name, 1) for name in Path(env["LSB_DJOB_HOSTFILE"]).read_text().split()]


def _host_file(env: Mapping[str, str]) -> list[Listed]:
    """A host a line, or one for each of its cores; `slots=4` says how many are ours, `labels=big,fast` labels it."""
    hosts: dict[str, Listed | None] = {}
    for line in Path(env["RHAPSODY_HOSTFILE"]).read_text().splitlines():
        words = line.partition("#")[0].split()
        if words and words[0] not in hosts:
            facts = dict(word.partition("=")[::2] for word in words[1:] if "=" in word)
            labels = tuple(label for label in facts.get("labels", "").split(",") if label)
            slots = _number(words[0], facts["slots"]) if "slots" in facts else -1
            hosts[words[0]] = Listed(words[0], max(slots, 0), labels=labels) if slots else None
    return [host for host in hosts.values() if host]


def _ask(what: str, *command: str) -> list[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as problem:
        said = getattr(problem, "stderr", "") or str(problem)
        raise InventoryUnknown(f"{what} could not be read with {command[0]}: {said.strip()}") from None


_READERS: dict[str, Callable[[Mapping[str, str]], list[Listed]]] = {
    "RHAPSODY_HOSTFILE": _host_file,
    "SLURM_JOB_NODELIST": _slurm,
    "PBS_NODEFILE": _pbs,
    "LSB_MCPU_HOSTS": _lsf,
    "LSB_DJOB_HOSTFILE": _lsf,
    "PE_HOSTFILE": _grid_engine,
    "FLUX_URI": lambda _: [Listed(name) for name in dict.fromkeys(flux_hosts())],
    "NSLOTS": _one_host,
}
"""What reads each variable that leads to a list of hosts; the first that is set counts."""
