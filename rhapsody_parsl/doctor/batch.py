"""The batch system's view of this place, beside ours."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from rhapsody_parsl.cluster.batch import allocated
from rhapsody_parsl.cluster.job_end import job_end
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.names import our_names, ours
from rhapsody_parsl.cluster.node_launcher import detect
from rhapsody_parsl.doctor.finding import Finding, problem
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts import probe
from rhapsody_parsl.site.facts import there_are

__all__ = ("batch_system", "job")


def batch_system(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield what the host has, what the batch system says of it, and whether they agree.

    Args:
        environment: Where the batch system's variables are.
    """
    there = there_are()
    said = f"commands of {', '.join(there)}" if there else "no command of Slurm, PBS, LSF or Flux"
    yield Finding(area="batch system", what="here", said=said, mark="ok" if there else "note")
    facts = probe.facts(environment)
    domains = "1 NUMA domain" if len(facts.domains) == 1 else f"{len(facts.domains)} NUMA domains"
    gpus = f"{len(facts.gpus)} {facts.vendor} GPUs" if facts.gpus else "no GPU"
    yield Finding(
        area="batch system",
        what="this host",
        said=f"{len(facts.cores)} cores in {domains}, {facts.memory:.1f} GB, {gpus}",
    )
    try:
        hosts = allocated(environment)
    except RhapsodyError as error:
        yield problem("batch system", "job", error)
        return
    if not hosts:
        yield Finding(area="batch system", what="job", said="none: a block here would be this host alone", mark="note")
        return
    yield from job(hosts, facts, environment)


def job(hosts: Sequence[Listed], facts: probe.HostFacts, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what the batch system gave this job.

    Args:
        hosts: Of the job, as it says.
        facts: What this host says of itself.
        environment: Where its variables are.
    """
    names = ", ".join(host.name for host in hosts[:5]) + (f" and {len(hosts) - 5} more" if len(hosts) > 5 else "")  # noqa: PLR2004 - as many are named
    end = job_end(environment, time.time())
    left = "" if end is None else f", {(end - time.time()) / 60:.0f} min left"
    yield Finding(area="batch system", what="job", said=f"{len(hosts)} hosts: {names}{left}")
    mine = next(iter(ours([host.name for host in hosts], our_names(environment, os.uname().nodename))), "")
    listed = next((host for host in hosts if host.name == mine), None)
    if listed is None:
        yield Finding(
            area="batch system", what="this host", said="is none of the job's", mark="problem",
            remedy="Start this in the job; where names differ, give RHAPSODY_HOSTFILE",
        )  # fmt: skip
    elif listed.cores and listed.cores != len(facts.cores):
        yield Finding(
            area="batch system", what="cores", mark="warning",
            said=f"{listed.cores} of this host are the job's, and this process may use {len(facts.cores)}",
            remedy="Look at the step's --cpus-per-task, and at the affinity of the shell",
        )  # fmt: skip
    if len(hosts) > 1:
        yield _launcher(environment)


def _launcher(environment: Mapping[str, str]) -> Finding:
    try:
        return Finding(area="batch system", what="other hosts", said=f"reached by {detect('auto', environment).kind}")
    except RhapsodyError as error:
        return problem("batch system", "other hosts", error)
