"""When the batch job ends in which this process stands, in the batch system's own words."""

import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from rhapsody_parsl.block_end import VARIABLE
from rhapsody_parsl.cluster import pbs

__all__ = ("job_end", "seconds_of")

log = logging.getLogger(__name__)

_WITHIN = 20.0
"""Seconds for an answer of Slurm."""
_WALLTIME = re.compile(r"(?:(?:(\d+)[-:])?(\d+):)?(\d+):(\d+)(?:\.\d+)?")


def job_end(environment: Mapping[str, str], now: float, walltime: float = 0.0) -> float | None:
    """Return when the job ends, in seconds since the epoch; None where nobody says.

    The first source that is there counts: `RHAPSODY_JOB_END`, Slurm, PBS and Torque, the provider's walltime from now.

    Args:
        environment: Where the batch system's variables are.
        now: Seconds since the epoch.
        walltime: What the provider asked for, in seconds; 0 where it asked for none.
    """
    for variable, ask in _SOURCES.items():
        if environment.get(variable):
            with suppress(OSError, ValueError, LookupError, subprocess.SubprocessError):
                end = ask(environment)
                if end is not None and end > now:
                    return end
            log.warning("%s=%s does not say when the job ends", variable, environment[variable])
    return now + walltime if walltime else None


def seconds_of(walltime: str) -> float:
    """Return the seconds of `HH:MM:SS`, `MM:SS`, `D-HH:MM:SS` or a number of seconds.

    Raises:
        ValueError: It is none of these.
    """
    if walltime.isdecimal():
        return float(walltime)
    found = _WALLTIME.fullmatch(walltime)
    if found is None:
        raise ValueError(f"{walltime!r} is no walltime")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _said(environment: Mapping[str, str]) -> float:
    return float(environment[VARIABLE])


def _slurm(environment: Mapping[str, str]) -> float | None:
    """Newer versions say it in the job's environment, others when they are asked."""
    with suppress(ValueError):
        if (end := float(environment.get("SLURM_JOB_END_TIME", ""))) > 0:
            return end
    command = ["squeue", "-h", "-j", environment["SLURM_JOB_ID"], "-o", "%e"]
    plain = {**os.environ, "SLURM_TIME_FORMAT": "standard"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_WITHIN, env=plain).stdout
    return time.mktime(time.strptime(answer.strip(), "%Y-%m-%dT%H:%M:%S"))


def _pbs(environment: Mapping[str, str]) -> float | None:
    """Return the start of the job and its walltime, added."""
    facts = pbs.facts_of(environment["PBS_JOBID"])
    began = facts.get("stime") or facts["start_time"]
    return time.mktime(time.strptime(began)) + seconds_of(facts["Resource_List.walltime"])


_SOURCES: dict[str, Callable[[Mapping[str, str]], float | None]] = {
    VARIABLE: _said,
    "SLURM_JOB_ID": _slurm,
    "PBS_JOBID": _pbs,
}
"""What asks, by the variable that is there in such a job."""
