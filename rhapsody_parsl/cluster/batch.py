"""Which hosts the batch system gave the block, and how much of each, in its own words."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rhapsody_parsl.cluster import pbs
from rhapsody_parsl.cluster.listed import Listed, is_host
from rhapsody_parsl.errors import RhapsodyError

__all__ = ("InventoryUnknown", "NoAllocation", "allocated", "flux_hosts", "list_hosts", "slurm_counts")

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
            "LSB_MCPU_HOSTS, LSB_DJOB_HOSTFILE and FLUX_URI is set. Start it inside one (salloc, sbatch, qsub -I, "
            "bsub -Is, flux alloc), or take a provider that submits a job."
        )


def list_hosts(environment: Mapping[str, str], here: str) -> list[Listed]:
    """Return the block's hosts, the one we stand on first; only that one outside a batch job.

    Args:
        environment: Where the batch system's variables are.
        here: This host's name.

    Raises:
        InventoryUnknown: The batch system's list cannot be read.
    """
    return _here_first(allocated(environment), here)


def allocated(environment: Mapping[str, str]) -> list[Listed]:
    """Return the allocation's hosts in the batch system's order; none outside a batch job.

    Args:
        environment: Where the batch system's variables are.

    Raises:
        InventoryUnknown: The batch system's list cannot be read.
    """
    env, hosts = environment, list[Listed]()
    if file := env.get("RHAPSODY_HOSTFILE"):
        hosts = _host_file(file)
    elif env.get("SLURM_JOB_NODELIST"):
        hosts = _slurm(env)
    elif file := env.get("PBS_NODEFILE"):
        hosts = _pbs(env, list(dict.fromkeys(Path(file).read_text().split())))
    elif env.get("LSB_MCPU_HOSTS") or env.get("LSB_DJOB_HOSTFILE"):
        hosts = _lsf(env)
    elif env.get("FLUX_URI"):
        hosts = [Listed(name) for name in dict.fromkeys(flux_hosts())]
    return hosts


def flux_hosts(source: str = "local") -> list[str]:
    """Return the hosts of Flux's brokers in the order of their ranks; a host has as many as were started on it.

    Args:
        source: `instance`, or `local` for those of the Flux job that we are a task of, if we are one.

    Raises:
        InventoryUnknown: It does not answer.
    """
    return _ask("Flux's list of hosts", "flux", "hostlist", "--expand", source)


def _slurm(env: Mapping[str, str]) -> list[Listed]:
    node_list = env["SLURM_JOB_NODELIST"]
    names = _ask(f"Slurm's node list {node_list}", "scontrol", "show", "hostnames", node_list)
    counts = slurm_counts(env.get("SLURM_JOB_CPUS_PER_NODE", ""))
    cores = counts if len(counts) == len(names) else [0] * len(names)
    per_node = int(env.get("SLURM_MEM_PER_NODE") or 0)
    per_core = int(env.get("SLURM_MEM_PER_CPU") or 0)
    return [Listed(n, c, round((per_node or per_core * c) * _MB, 6)) for n, c in zip(names, cores, strict=True)]


def _pbs(env: Mapping[str, str], names: Sequence[str]) -> list[Listed]:
    job = env.get("PBS_JOBID")
    return pbs.shares(job, names) if job else [Listed(name) for name in names]


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


def _host_file(path: str) -> list[Listed]:
    """A host a line, or one for each of its cores; `slots=4` says how many are ours, `labels=big,fast` labels it."""
    hosts: dict[str, Listed] = {}
    for line in Path(path).read_text().splitlines():
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


def _here_first(hosts: Sequence[Listed], here: str) -> list[Listed]:
    """Call this host by the batch system's name for it, and put it first; a job script may run elsewhere than we do."""
    ours = [host for host in hosts if is_host(host.name, here)]
    return [*ours[:1], *(host for host in hosts if host not in ours)] if ours else [Listed(here)]
