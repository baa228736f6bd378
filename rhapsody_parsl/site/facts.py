"""What the batch system says of this site: its queues, and the nodes behind the one that is chosen."""

import getpass
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wording import nearest

__all__ = ("SYSTEMS", "Queue", "Site", "System", "ask", "detected")

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
        cores: Of a node, at least; 0 where nobody says.
        gpus: Of a node; 0 where nobody says.
        most: Seconds that a job may take; 0 where nobody says.
    """

    name: str
    default: bool = False
    nodes: int = 0
    cores: int = 0
    gpus: int = 0
    most: int = 0


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A site.

    Attributes:
        system: Its batch system.
        queue: The one to use; None where nobody says.
        accounts: Those of this user.
        complaints: What could not be learnt, and why.
    """

    system: System
    queue: Queue | None = None
    accounts: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()


def detected() -> System:
    """Return the batch system whose commands are here; `laptop` for none."""
    return next((name for name, command in SYSTEMS.items() if command and shutil.which(command)), "laptop")


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
        accounts=tuple(dict.fromkeys(accounts)),
        complaints=tuple(complaints),
    )


def _said(question: "Callable[[], list[Any]] | None", complaints: list[str]) -> "list[Any]":
    try:
        return question() if question else []
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as problem:
        said = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()
        complaints.append(said[0] if said else type(problem).__name__)
        return []


def _chosen(queues: Sequence[Queue], wanted: str) -> Queue | None:
    """Return the queue that is wanted, else the default, else the one with the most nodes."""
    if wanted:
        named = next((queue for queue in queues if queue.name == wanted), None)
        if named is None and queues:
            names = [queue.name for queue in queues]
            raise RhapsodyError(f"There is no queue {wanted}: {', '.join(names)}. {nearest(wanted, names)}".strip())
        return named or Queue(name=wanted)
    return max(queues, key=lambda queue: (queue.default, queue.nodes), default=None)


def _answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN).stdout


# --- Slurm -----------------------------------------------------------------------------------------------------------


def _slurm() -> list[Queue]:
    return slurm_queues(_answer("sinfo", "--noheader", "--format=%P|%D|%c|%G|%l"))


def slurm_queues(text: str) -> list[Queue]:
    """Return the partitions of `sinfo`, which has a line for each kind of node in each."""
    queues: dict[str, Queue] = {}
    for line in text.splitlines():
        name, nodes, cores, gres, limit = line.strip().split("|")
        found = Queue(
            name=name.rstrip("*"),
            default=name.endswith("*"),
            nodes=int(nodes),
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
    return pbs_queues(_answer("qstat", "-Q", "-f", "-F", "json"), _answer("pbsnodes", "-a", "-F", "json"))


def pbs_queues(text: str, nodes: str) -> list[Queue]:
    """Return the queues that take jobs and hand them to no other.

    Args:
        text: Of `qstat -Q -f -F json`.
        nodes: Of `pbsnodes -a -F json`; which of them are behind a queue it does not say.
    """
    there = [facts.get("resources_available", {}) for facts in json.loads(nodes).get("nodes", {}).values()]
    cores = min((int(each["ncpus"]) for each in there if each.get("ncpus")), default=0)
    queues: dict[str, dict[str, Any]] = json.loads(text).get("Queue", {})
    return [
        Queue(name=name, cores=cores, most=seconds(str(facts.get("resources_max", {}).get("walltime", ""))))
        for name, facts in queues.items()
        if facts.get("queue_type") == "Execution" and facts.get("enabled") == "True"
    ]


def _lsf() -> list[Queue]:
    return lsf_queues(_answer("bqueues", "-o", "queue_name status", "-noheader"))


def lsf_queues(text: str) -> list[Queue]:
    """Return the queues of `bqueues` that take jobs."""
    rows: Iterable[list[str]] = (line.split() for line in text.splitlines())
    return [Queue(name=row[0]) for row in rows if row[1:] and row[1].startswith("Open")]


_QUEUES: "dict[System, Callable[[], list[Queue]]]" = {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}
