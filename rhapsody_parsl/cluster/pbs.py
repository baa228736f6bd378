"""How much of each of its hosts a PBS job may take.

PBS binds no process unless its cgroup hook does, and shows that to nobody who comes by ssh. So it is asked.
"""

import logging
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence

from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.names import is_host

__all__ = ("facts_of", "shares")

log = logging.getLogger(__name__)

_WITHIN = 20.0
"""Seconds for an answer; the commands wait longer for a server that is away."""
_PART = re.compile(r"([^()+:]+)((?::[^()+:]+)+)")
_AMOUNT = re.compile(r":(ncpus|ngpus|mem)=(\d+)([kmgtp]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}

_Facts = dict[str, str]


def shares(job: str, names: Sequence[str]) -> list[Listed]:
    """Return a job's hosts with what is ours of each; their names alone when PBS cannot be asked.

    Args:
        job: Its id.
        names: Of its hosts.
    """
    try:
        mine = facts_of(job)
        vnodes = _stanzas(_ask("pbsnodes", "-H", *names))
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        said = str(getattr(problem, "stderr", "") or problem).strip()
        log.warning("PBS does not say how much of each host is ours; all that is seen there is taken: %s", said)
        return [Listed(name) for name in names]
    taken = _taken(mine.get("exec_vnode", ""))
    return [_share(name, job, _of_host(name, vnodes), taken) for name in names]


def facts_of(job: str) -> Mapping[str, str]:
    """Return what PBS says of a job, by attribute.

    Raises:
        OSError: PBS cannot be asked.
        subprocess.SubprocessError: It does not answer, or knows no such job.
        ValueError: It says nothing of the job.
    """
    mine, *_ = _stanzas(_ask("qstat", "-f", job)).values()  # more where a variable of the job has several lines
    return mine


def _share(name: str, job: str, vnodes: Mapping[str, _Facts], taken: Mapping[str, Counter[str]]) -> Listed:
    """A host that the job has for itself is all ours, however little of it was asked for."""
    with_cores = [v for v, facts in vnodes.items() if facts.get("resources_available.ncpus") != "0"]
    if all(vnode in taken and "job-exclusive" in vnodes[vnode].get("state", "") for vnode in with_cores):
        return Listed(name)
    ours = sum((taken[vnode] for vnode in vnodes if vnode in taken), Counter[str]())
    return Listed(
        name,
        cores=ours["ncpus"],
        memory=round(ours["mem"] / 1e9, 6),
        gpus=ours["ngpus"],
        slots=_slots(job, next(iter(vnodes.values()))) if len(vnodes) == 1 else (),  # each vnode counts its own from 0
    )


def _of_host(name: str, vnodes: Mapping[str, _Facts]) -> dict[str, _Facts]:
    return {v: facts for v, facts in vnodes.items() if is_host(facts.get("resources_available.host", v), name)}


def _slots(job: str, vnode: Mapping[str, str]) -> tuple[int, ...]:
    """Return a job's slots of a vnode, of those that all its jobs have: `7.server/0, 8.server/1, 7.server/2`."""
    found = (entry.strip().rpartition("/") for entry in vnode.get("jobs", "").split(","))
    return tuple(sorted(int(slot) for whose, _, slot in found if whose.partition(".")[0] == job.partition(".")[0]))


def _taken(exec_vnode: str) -> dict[str, Counter[str]]:
    """Return cores, GPUs and bytes of each vnode: `(a:ncpus=2:mem=1048576kb)+(b[0]:ncpus=1+b[1]:ncpus=1)`.

    Nothing else says it: `exec_host` counts no cores where a host has several vnodes, and the node file has a line for
    each MPI process.
    """
    taken: dict[str, Counter[str]] = {}
    for vnode, amounts in _PART.findall(exec_vnode):
        for what, number, unit in _AMOUNT.findall(amounts):
            taken.setdefault(vnode, Counter())[what] += int(number) * _UNITS[unit]
    return taken


def _stanzas(text: str) -> dict[str, _Facts]:
    """Return the attributes of each thing that a command of PBS shows; lines that it has folded are joined."""
    facts: _Facts = {}
    found: dict[str, _Facts] = {}
    for line in text.replace("\n\t", "").splitlines():
        name, equals, value = line.strip().partition(" = ")
        if equals:
            facts[name] = value
        elif line.strip():
            facts = found[name.removeprefix("Job Id: ")] = {}
    return found


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN).stdout
