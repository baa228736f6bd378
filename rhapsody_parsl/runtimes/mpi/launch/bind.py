"""Stands before a rank's program where a launcher cannot bind: `bind.py VARIABLE RANKS GPU-VARIABLE PLAN PROGRAM...`.

Standard library only. `PLAN` says for each host the cores and GPUs of each rank there, as `places.plan` writes it:
`n1=0-1@0/2-3@1,n2=0-1/2-3`. `VARIABLE` is where the launcher puts a rank's number on its host.
"""

import os
import sys

sys.path.append(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))
)

from rhapsody_parsl.cluster.names import our_names, ours

_SIGNS_OF_PMI = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "MPI_LOCALRANKID", "PALS_RANKID")


def share(plan: str, host: str, rank: int) -> "tuple[set[int], str]":
    """Return the cores and the GPUs of a rank on this host.

    Args:
        plan: See above.
        host: As this host calls itself.
        rank: Its number here.
    """
    ranks = {}
    for part in plan.split(","):
        name, _, shares = part.partition("=")
        ranks[name] = shares.split("/")
    here = ours(ranks, our_names(os.environ, host))
    if not here:
        sys.exit(f"A rank was started on {host}, and its lease has {', '.join(ranks)}.")
    mine = ranks[here[0]]
    cores, _, gpus = mine[rank % len(mine)].partition("@")
    return _cores(cores), gpus.replace("+", ",")


def _cores(text: str) -> "set[int]":
    found = set()
    for piece in text.split("+"):
        first, _, last = piece.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def main(arguments: "list[str]") -> None:
    """Bind, and become the program."""
    variable, ranks, gpu_variable, plan, *command = arguments
    if int(ranks) > 1 and not any(name.startswith(_SIGNS_OF_PMI) for name in os.environ):
        sys.exit(
            f"{ranks} ranks were asked for, and the launcher tells this process of none: each would be alone. It does "
            "not speak this MPI library's process management (PMI). Set MPIRuntime(launcher=..., options=[...]): "
            "MPICH under srun needs --mpi=pmi2, Open MPI --mpi=pmix."
        )
    cores, gpus = share(plan, os.uname().nodename, int(os.environ.get(variable, "0")))
    os.sched_setaffinity(0, cores)
    if gpus:
        os.environ[gpu_variable] = gpus
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's program, no shell
    except OSError as problem:
        sys.exit(f"{command[0]}: {problem.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
