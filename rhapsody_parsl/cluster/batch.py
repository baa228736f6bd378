"""Which hosts the batch system gave the block, and how much of each, in its own words."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rhapsody_parsl.cluster import pbs
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.names import our_names, ours
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("InventoryUnknown", "NoAllocation", "NotListed", "allocated", "flux_hosts", "list_hosts", "slurm_counts")

_MOST_NAMED = 20
_MB = 1024**2 / 1e9
"""Slurm counts in these, we in GB."""


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
    return sorted(_once(hosts, mine), key=lambda host: host.name != mine[0])


def _once(hosts: Sequence[Listed], mine: Sequence[str]) -> list[Listed]:
    """Leave out what is listed of this host under a second name."""
    return [host for host in hosts if host.name not in mine[1:]]


def allocated(environment: Mapping[str, str]) -> list[Listed]:
    """Return the allocation's hosts in the batch system's order; none outside a batch job.

    Args:
        environment: Where the batch system's variables are.

    Raises:
        InventoryUnknown: The batch system's list cannot be read.
    """
    source = _source(environment)
    return _READERS[source](environment) if source else []


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
    if env.get("SLURM_HET_SIZE"):
        raise InventoryUnknown(
            f"This is a heterogeneous Slurm job of {env['SLURM_HET_SIZE']} components, and a block cannot span them. "
            "Submit one component as a job of its own, or one executor for each"
        )
    node_list = env["SLURM_JOB_NODELIST"]
    names = _ask(f"Slurm's node list {node_list}", "scontrol", "show", "hostnames", node_list)
    counts = slurm_counts(env.get("SLURM_JOB_CPUS_PER_NODE", ""))
    cores = counts if len(counts) == len(names) else [0] * len(names)
    per_node = int(env.get("SLURM_MEM_PER_NODE") or 0)
    per_core = int(env.get("SLURM_MEM_PER_CPU") or 0)
    return [Listed(n, c, round((per_node or per_core * c) * _MB, 6)) for n, c in zip(names, cores, strict=True)]


def _pbs(env: Mapping[str, str]) -> list[Listed]:
    """OpenPBS is asked what is ours; Torque's file has a line for each core."""
    lines = Path(env["PBS_NODEFILE"]).read_text().split()
    names = list(dict.fromkeys(lines))
    if env.get("PBS_VERSION", "").upper().startswith("TORQUE") or "PBS_NUM_PPN" in env:
        return [Listed(name, lines.count(name)) for name in names]
    job = env.get("PBS_JOBID")
    return pbs.shares(job, names) if job else [Listed(name) for name in names]


def _grid_engine(env: Mapping[str, str]) -> list[Listed]:
    """A line of `PE_HOSTFILE` is `host slots queue processors`; a host may have one for each queue."""
    slots: dict[str, int] = {}
    for line in Path(env["PE_HOSTFILE"]).read_text().splitlines():
        if words := line.split():
            slots[words[0]] = slots.get(words[0], 0) + int(words[1])
    return [Listed(name, count) for name, count in slots.items()]


def _one_host(env: Mapping[str, str]) -> list[Listed]:
    """A job of Grid Engine without a parallel environment is on one host."""
    return [Listed(os.uname().nodename, int(env["NSLOTS"]))]


def slurm_counts(text: str) -> list[int]:
    """Return the numbers of `2(x3),4`."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(number) for number, times in found for _ in range(int(times or 1))]


def _lsf(env: Mapping[str, str]) -> list[Listed]:
    """`LSB_MCPU_HOSTS` is `hostA 4 hostB 8`; the file, for jobs too large for it, has a line a slot."""
    words = env.get("LSB_MCPU_HOSTS", "").split()
    if words:
        return [Listed(name, int(count)) for name, count in zip(words[::2], words[1::2], strict=True)]
    slots = Path(env["LSB_DJOB_HOSTFILE"]).read_text().split()
    return [Listed(name, slots.count(name)) for name in dict.fromkeys(slots)]


def _host_file(env: Mapping[str, str]) -> list[Listed]:
    """A host a line, or one for each of its cores; `slots=4` says how many are ours, `labels=big,fast` labels it."""
    hosts: dict[str, Listed] = {}
    for line in Path(env["RHAPSODY_HOSTFILE"]).read_text().splitlines():
        words = line.partition("#")[0].split()
        if words and words[0] not in hosts:
            facts = dict(word.partition("=")[::2] for word in words[1:] if "=" in word)
            labels = tuple(label for label in facts.get("labels", "").split(",") if label)
            hosts[words[0]] = Listed(words[0], int(facts.get("slots", 0)), labels=labels)
    return list(hosts.values())


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
