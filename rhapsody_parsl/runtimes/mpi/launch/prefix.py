"""The `PARSL_*` variables of a launch, as MPIExecutor's workers set them."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from rhapsody_parsl.in_block.gpus import GPU_VARIABLE
from rhapsody_parsl.runtimes.mpi.launch.groups import plan_of, prefix
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import places_of
from rhapsody_parsl.runtimes.mpi.launch.preparation import forwarding, preparing
from rhapsody_parsl.runtimes.protocol import Run

__all__ = ("environment", "variables")

_OWN = {"srun": "PARSL_SRUN_PREFIX", "aprun": "PARSL_APRUN_PREFIX"}


def environment(launcher: Launcher, run: Run, folder: Path, noting: Sequence[str] = ()) -> dict[str, str]:
    """Return all that the tasks of a run have for their launches, which start on the first host of its lease.

    Args:
        launcher: The block's.
        run: With its lease.
        folder: The private one.
        noting: Words before each rank's program, so that it is known on its host.
    """
    head = run.placed[0].node.host
    return {**launcher.environment(os.environ, folder), **variables(launcher, run, head, noting)}


def variables(launcher: Launcher, run: Run, head: str, noting: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables for the tasks of a run.

    Differs from Parsl's in three things: no value is ever `None`, the launcher's path is absolute, and on this host
    alone no host is named.

    Args:
        launcher: The block's.
        run: With its lease.
        head: The host the launcher will run on.
        noting: Words before each rank's program, so that it is known on its host.
    """
    hosts = [placed.node.host for placed in run.placed]
    ranks = sum(placed.ranks for placed in run.placed)
    per_node = max((placed.ranks for placed in run.placed), default=0)
    resources = run.spec.resources
    options, local = resources.launcher_options, set(hosts) <= {head}
    places = places_of(run.placed, resources.gpus_per_rank, resources.groups)
    gpu_variable = next((GPU_VARIABLE[placed.node.gpu_vendor] for placed in run.placed if placed.share.gpus), "")
    line = launcher.line(places, local, [*shlex.split(options), *forwarding(launcher, local)])
    before = [*noting, *preparing(launcher, places, line), *launcher.binding(places, local, gpu_variable)]
    several = {}
    if groups := resources.groups:
        plan = plan_of(launcher, groups, places, line=line, before=before, gpu_variable=gpu_variable)
        several, line, before = {"PARSL_MPI_GROUPS": plan}, prefix(launcher), []
    own = shlex.join([*line, *before])
    prefixes = {**_as_parsl(hosts, ranks, per_node, options), "PARSL_MPI_PREFIX": own, **several}
    prefixes[_OWN.get(launcher.kind, "PARSL_MPIEXEC_PREFIX")] = own
    return {
        **prefixes,
        **({"PARSL_LAUNCHER_OPTIONS": options} if options else {}),
        "PARSL_NUM_NODES": str(len(hosts)),
        "PARSL_NUM_RANKS": str(ranks),
        "PARSL_RANKS_PER_NODE": str(per_node),
        "PARSL_MPI_NODELIST": ",".join(hosts),
        "OMP_NUM_THREADS": str(resources.cores_per_rank),
    }


def _as_parsl(hosts: Sequence[str], ranks: int, per_node: int, options: str) -> dict[str, str]:
    """Return the lines Parsl composes, for launchers that are not the block's."""
    names, tail = ",".join(hosts), f" {options}" if options else ""
    return {
        "PARSL_MPIEXEC_PREFIX": f"mpiexec -n {ranks} -ppn {per_node} -hosts {names}{tail}",
        "PARSL_SRUN_PREFIX": (
            f"srun --ntasks {ranks} --ntasks-per-node {per_node} --nodelist {names} --nodes {len(hosts)}{tail}"
        ),
        "PARSL_APRUN_PREFIX": f"aprun -n {ranks} -N {per_node} -node-list {names}{tail}",
    }
