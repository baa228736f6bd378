"""What a launcher tells a process of its world, and how to take that out of an environment again.

Standard library only; pure. A program that a rank starts without a launcher is a world of one: it must not hear of the
rank's world, whose library would take it for that rank. What describes the batch job stays, and so do settings of the
user's or the site's (`OMPI_MCA_btl`, `PMIX_MCA_gds`, `MPICH_...`).
"""

from collections.abc import MutableMapping

__all__ = ("OF_A_STEP", "leave_world")

OF_A_STEP = (
    "SLURM_STEP", "SLURM_MPI_TYPE", "SLURM_CPU_BIND", "SLURM_DISTRIBUTION", "SLURM_NTASKS", "SLURM_NPROCS",
    "SLURM_CPUS_PER_TASK",
)  # fmt: skip
"""Beginnings of what Slurm sets anew for each step, in its own shape, and `srun` takes for options of the next one."""

_OF_A_WORLD = (
    "PMI_", "PMI2_", "PMIX_", "MPI_LOCAL", "HYDI_", "MV2_COMM_WORLD_", "ALPS_APP_", "PRTE_LAUNCHED", "PRTE_SHARED_FS",
    "OMPI_COMM_WORLD_", "OMPI_WORLD_", "OMPI_UNIVERSE_SIZE", "OMPI_NUM_APP_CTX", "OMPI_FIRST_RANKS",
    "OMPI_APP_CTX_NUM_PROCS", "OMPI_FILE_LOCATION", "OMPI_COMMAND", "OMPI_ARGV", "OMPI_TOOL_NAME", "OMPI_VERSION",
    "OMPI_LIBDIR_LOC", "OMPI_MCA_PREFIXES", "OMPI_MCA_num_procs", "OMPI_MCA_initial_wdir", "OMPI_MCA_cpu_type",
    "OMPI_MCA_ess", "OMPI_MCA_orte_ess", "OMPI_MCA_orte_launch", "OMPI_MCA_orte_app_num", "OMPI_MCA_orte_hnp_uri",
    "OMPI_MCA_orte_local_daemon_uri", "OMPI_MCA_orte_parent_uri", "OMPI_MCA_orte_num_", "OMPI_MCA_orte_jobid",
    "PALS_RANKID", "PALS_LOCAL_", "PALS_NODEID", "PALS_APID", "PALS_APINFO", "PALS_SPOOL_DIR", "PALS_FD", "PALS_DEPTH",
    "FLUX_TASK_", "FLUX_PMI_", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASK_PID", "SLURM_GTIDS", "SLURM_SRUN_COMM_",
    "SLURM_LAUNCH_NODE_IPADDR", "SLURM_PMI", *OF_A_STEP,
)  # fmt: skip
"""What their names begin with."""
_SETTINGS = ("PMIX_MCA_",)
"""What looks like it and is not."""


def leave_world(environment: "MutableMapping[str, str]") -> None:
    """Remove what a launcher set for one process of a world.

    Args:
        environment: Changed in place.
    """
    for name in [name for name in environment if name.startswith(_OF_A_WORLD) and not name.startswith(_SETTINGS)]:
        del environment[name]
