"""What the batch system says of this site: its queues, and the nodes behind the one that is chosen."""

import getpass
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wording import nearest

__all__ = ("SYSTEMS", "Queue", "Site", "System", "ask", "there_are")

System = Literal["slurm", "pbs", "lsf", "flux", "laptop"]
SYSTEMS: dict[System, str] = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "flux": "flux", "laptop": ""}
"""What is on the PATH where each is."""
_WITHIN = 20.0
"""Seconds for an answer."""
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue or partition.

    Attributes:
        name: Its name.
        default: Whether jobs that name none go there.
        nodes: How many nodes are behind it; 0 where nobody says.
        largest: How many of them a job may have; 0 where nobody says.
        cores: Of a node, at least; 0 where nobody says.
        gpus: Of a node; 0 where nobody says.
        most: Seconds that a job may take; 0 where nobody says.
    """

    name: str
    default: bool = False
    nodes: int = 0
    largest: int = 0
    cores: int = 0
    gpus: int = 0
    most: int = 0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A site.

    Attributes:
        system: Its batch system.
        queue: The one to use; None where nobody says.
        queues: Names of all.
        accounts: Those of this user.
        complaints: What could not be learnt, and why.
    """

    system: System
    queue: Queue | None = None
    queues: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()


def there_are() -> list[System]:
    """Return the batch systems whose commands are here."""
    return [name for name, command in SYSTEMS.items() if command and shutil.which(command)]


def ask(system: System, queue: str = "") -> Site:
    """Return what a batch system says.

    Args:
        system: Which.
        queue: The one that the user wants; "" for its default.

    Raises:
        RhapsodyError: It has no queue of that name.
    """
    complaints: list[str] = []
    queues = _said(_QUEUES.get(system), complaints)
    accounts = _said(_slurm_accounts if system == "slurm" else None, complaints)
    return Site(
        system=system,
        queue=_chosen(queues, queue),
        queues=tuple(each.name for each in queues),
        accounts=tuple(dict.fromkeys(accounts)),
        complaints=tuple(complaints),
    )


def _said(question: "Callable[[], list[Any]] | None", complaints: list[str]) -> "list[Any]":
    try:
        return question() if question else []
    except FileNotFoundError as problem:
        complaints.append(f"there is no command {problem.filename} here")
        return []
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as problem:
        said = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()
        complaints.append(said[0] if said else type(problem).__name__)
        return []


def _chosen(queues: Sequence[Queue], wanted: str) -> Queue | None:
    """Return the queue that is wanted, else the default, else the one with the most nodes, where that is known."""
    if wanted:
        named = next((queue for queue in queues if queue.name == wanted), None)
        if named is None and queues:
            names = [queue.name for queue in queues]
            raise RhapsodyError(f"There is no queue {wanted}: {', '.join(names)}. {nearest(wanted, names)}".strip())
        return named or Queue(name=wanted)
    found = max(queues, key=lambda queue: (queue.default, queue.nodes), default=None)
    return found if found and (found.default or found.nodes) else None


def _answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN).stdout


# --- Slurm -----------------------------------------------------------------------------------------------------------


def _slurm() -> list[Queue]:
    return slurm_queues(_answer("sinfo", "--noheader", "--format=%P|%a|%D|%s|%c|%G|%l"))


def slurm_queues(text: str) -> list[Queue]:
    """Return the partitions of `sinfo` that are up; it has a line for each kind of node in each."""
    queues: dict[str, Queue] = {}
    for line in text.splitlines():
        name, state, nodes, size, cores, gres, limit = line.strip().split("|")
        if state != "up":
            continue
        largest = size.rpartition("-")[2]  # of `1-4`, `1` or `1-infinite`
        found = Queue(
            name=name.rstrip("*"),
            default=name.endswith("*"),
            nodes=int(nodes),
            largest=int(largest) if largest.isdigit() else 0,
            cores=int(cores.rstrip("+")),
            gpus=sum(int(number) for number in re.findall(r"gpu:(?:[^:,(]+:)?(\d+)", gres)),
            most=seconds(limit),
        )
        queues[found.name] = _with(queues.get(found.name), found)
    return list(queues.values())


def _with(known: Queue | None, found: Queue) -> Queue:
    """Add nodes of another kind: the least of them counts."""
    if known is None:
        return found
    return msgspec.structs.replace(
        known,
        nodes=known.nodes + found.nodes,
        cores=min(known.cores, found.cores),
        gpus=min(known.gpus, found.gpus),
    )


def seconds(limit: str) -> int:
    """Return the seconds of `1-02:03:04`, `02:03:04`, `30:00` or `30` (minutes); 0 for anything else, as `infinite`."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", limit.strip())
    if found is None:
        return 0
    parts = [int(part) for part in found[2].split(":")]
    if len(parts) < 3 and not found[1]:  # noqa: PLR2004 - hours, minutes, seconds
        parts.insert(0, 0)
    hours, minutes, rest = [*parts, 0, 0][:3]
    return int(found[1] or 0) * _DAY + hours * _HOUR + minutes * _MINUTE + rest


def _slurm_accounts() -> list[str]:
    text = _answer("sacctmgr", "-nP", "show", "assoc", f"user={getpass.getuser()}", "format=account")
    return [line.strip() for line in text.splitlines() if line.strip()]


# --- PBS, LSF --------------------------------------------------------------------------------------------------------


def _pbs() -> list[Queue]:
    asked = ("qstat", "-B", "-f"), ("qstat", "-Q", "-f"), ("pbsnodes", "-a")
    return pbs_queues(*(json.loads(_answer(*command, "-F", "json")) for command in asked))


def pbs_queues(server: dict[str, Any], said: dict[str, Any], nodes: dict[str, Any]) -> list[Queue]:
    """Return the queues to which users may give jobs; which nodes are behind one, PBS does not say.

    Args:
        server: Of `qstat -B -f -F json`.
        said: Of `qstat -Q -f -F json`.
        nodes: Of `pbsnodes -a -F json`.
    """
    defaults = {facts.get("default_queue") for facts in server.get("Server", {}).values()}
    there = [facts.get("resources_available", {}) for facts in nodes.get("nodes", {}).values()]
    there = [node for node in there if node.get("ncpus")]
    queues: dict[str, dict[str, Any]] = said.get("Queue", {})
    return [
        Queue(
            name=name,
            default=name in defaults,
            cores=_least(there, "ncpus"),
            gpus=_least(there, "ngpus"),
            most=seconds(str(facts.get("resources_max", {}).get("walltime", ""))),
        )
        for name, facts in queues.items()
        if facts.get("enabled") == "True" and facts.get("from_route_only") != "True"
    ]


def _least(nodes: Iterable[Mapping[str, Any]], resource: str) -> int:
    return min((int(node.get(resource, 0)) for node in nodes), default=0)


def _lsf() -> list[Queue]:
    queues = _answer("bqueues", "-o", "queue_name status", "-noheader")
    return lsf_queues(queues, _answer("bparams"), _answer("bhosts", "-o", "max", "-noheader"))


def lsf_queues(text: str, parameters: str, slots: str) -> list[Queue]:
    """Return the open queues; which hosts are behind one, LSF does not say here.

    Args:
        text: Of `bqueues`, a name and a status on each line.
        parameters: Of `bparams`.
        slots: Of `bhosts`, the most job slots of a host on each line.
    """
    named = re.search(r"^Default Queues:(.*)$", parameters, re.MULTILINE)
    default = next(iter(named[1].split()), "") if named else ""
    cores = min((int(line) for line in slots.split() if line.isdigit()), default=0)
    rows: Iterable[list[str]] = (line.split() for line in text.splitlines())
    return [
        Queue(name=row[0], default=row[0] == default, cores=cores)
        for row in rows
        if row[1:] and row[1].startswith("Open")
    ]


_QUEUES: "dict[System, Callable[[], list[Queue]]]" = {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}
