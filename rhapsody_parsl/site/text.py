"""A configuration file for a site, as text. Pure."""

import json
from collections.abc import Mapping
from string import Template

import msgspec

from rhapsody_parsl.site.facts import Queue, Site, System

__all__ = ("UNSAID", "Wishes", "config_text")

UNSAID = "not known here"
"""What stands behind a number that the user has to write; `doctor` finds it."""

_MOST_NODES = 2
_HOUR = 3600
_FILE = Template('''\
"""$about

Written by `rhapsody-parsl init`. Look through it, then try it: rhapsody-parsl doctor --config FILE
"""

from parsl import Config
$imports
from rhapsody_parsl import $names

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=$provider,
            runtimes=[$runtimes],
        )
    ],$strategy
)
''')
_JOB = """\
                init_blocks=1,
                max_blocks=1,
                walltime="$walltime",
                worker_init=$worker_init,
                launcher=SimpleLauncher(),  # one pilot per block
            )"""
_SLURM = Template(
    """\
SlurmProvider(
                account=$account,
                partition=$queue,$about
                nodes_per_block=$nodes,
$gpus                exclusive=True,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
"""
    + _JOB
)
_PBS = Template(
    """\
PBSProProvider(
                account=$account,
                queue=$queue,$about
                nodes_per_block=$nodes,
                cpus_per_node=$cores,$unsaid
$gpus                scheduler_options="#PBS -l place=scatter",  # each of the nodes another host
"""
    + _JOB
)
_LSF = Template(
    """\
LSFProvider(
                project=$account,
                queue=$queue,$about
                request_by_nodes=False,  # `bsub -nnodes` is for few sites
                cores_per_block=$nodes * $cores,
                cores_per_node=$cores,$unsaid
                bsub_redirection=True,  # `bsub < script`: without it LSF may skip the #BSUB lines
"""
    + _JOB
)


_GPUS: Mapping[System, str] = {
    "slurm": "                gpus_per_node={},\n",
    "pbs": '                select_options="ngpus={}",\n',
}


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants, or "" and 0 for what the site says.

    Attributes:
        account: Account or project.
        nodes: Of a block.
        walltime: Seconds of a block.
        worker_init: What makes the environment ready in a job.
        dragon: Whether Dragon runs on this Python.
    """

    account: str = ""
    nodes: int = 0
    walltime: int = 0
    worker_init: str = ""
    dragon: bool = True


class _Kind(msgspec.Struct, frozen=True):
    """How the files of a batch system differ: the provider, where it is from, and how MPI programs start."""

    about: str
    provider: Template
    name: str = ""
    mpi: str = "MPIRuntime()"
    alone: bool = False


_KINDS: Mapping[System, _Kind] = {
    "slurm": _Kind("A Slurm cluster: blocks of its nodes.", _SLURM, "SlurmProvider", 'MPIRuntime(launcher="srun")'),
    "pbs": _Kind("A PBS cluster: blocks of its nodes.", _PBS, "PBSProProvider"),
    "lsf": _Kind("An LSF cluster: blocks of its nodes.", _LSF, "LSFProvider"),
    "flux": _Kind("A block in a Flux instance: start the script in `flux alloc` or `flux batch`.",
                  Template("AllocationProvider()"), "", 'MPIRuntime(launcher="flux")', alone=True),
    "laptop": _Kind("A laptop or workstation: one block on this machine.",
                    Template("LocalProvider(init_blocks=1, max_blocks=1)"), "LocalProvider", alone=True),
}  # fmt: skip


def config_text(site: Site, wishes: Wishes) -> str:
    """Return the file's text.

    Args:
        site: What the batch system says.
        wishes: What the user wants.
    """
    kind = _KINDS[site.system]
    ours = ["MPIRuntime", "RhapsodyExecutor"]
    ours += ["DragonRuntime"] if wishes.dragon else ["LocalRuntime"]
    ours += ["AllocationProvider"] if site.system == "flux" else []
    launcher = "" if kind.alone else "from parsl.launchers import SimpleLauncher\n"
    first = "DragonRuntime()" if wishes.dragon else "LocalRuntime()"
    return _FILE.substitute(
        about=kind.about,
        imports=launcher + (f"from parsl.providers import {kind.name}\n" if kind.name else ""),
        names=", ".join(sorted(ours)),
        provider=kind.provider.safe_substitute(_values(site, wishes)),
        runtimes=f"{first}, {kind.mpi}",
        strategy='\n    strategy="none",' if kind.alone else "",
    )


def _values(site: Site, wishes: Wishes) -> dict[str, object]:
    queue = site.queue or Queue(name="")
    account = wishes.account or next(iter(site.accounts), "")
    most = min(each or _MOST_NODES for each in (_MOST_NODES, queue.nodes, queue.largest))
    walltime = wishes.walltime or min(_HOUR, queue.most or _HOUR)
    return {
        "account": json.dumps(account) if account else "None",
        "queue": json.dumps(queue.name) if queue.name else "None",
        "about": _about(queue),
        "nodes": wishes.nodes or most,
        "cores": queue.cores or 1,
        "unsaid": "" if queue.cores else f"  # {UNSAID}: how many cores a node has",
        "gpus": _GPUS[site.system].format(queue.gpus) if queue.gpus and site.system in _GPUS else "",
        "walltime": f"{walltime // 3600:02}:{walltime // 60 % 60:02}:{walltime % 60:02}",
        "worker_init": json.dumps(wishes.worker_init),
    }


def _about(queue: Queue) -> str:
    """Return what is known of a queue, as a comment."""
    known = {
        "{} nodes": queue.nodes, "at most {} for a job": queue.largest, "at least {} cores each": queue.cores,
        "{} GPUs each": queue.gpus, "{} hours": queue.most / _HOUR,
    }  # fmt: skip
    words = [text.format(f"{number:,g}") for text, number in known.items() if number]
    return f"  # {', '.join(words)}" if words and queue.name else ""
