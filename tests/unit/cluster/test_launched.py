import pytest

from rhapsody_parsl.cluster.launched import leave_world

WORLDS = {
    "hydra": {"PMI_RANK": "1", "PMI_FD": "7", "MPI_LOCALRANKID": "0", "HYDI_CONTROL_FD": "5"},
    "openmpi 5": {"PMIX_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_num_procs": "2", "PRTE_LAUNCHED": "1"},
    "openmpi 4": {"OMPI_MCA_ess_base_jobid": "1", "OMPI_MCA_orte_ess_num_procs": "2", "OMPI_UNIVERSE_SIZE": "2"},
    "srun": {"SLURM_PROCID": "1", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "PMI_SIZE": "2", "SLURM_STEPID": "0"},
    "pals": {"PALS_RANKID": "1", "PALS_LOCAL_RANKID": "0", "PALS_APINFO": "/x"},
    "flux": {"FLUX_TASK_RANK": "1", "FLUX_TASK_LOCAL_ID": "0", "PMI_SPAWNED": "0"},
}
STAYS = {
    "HOME": "/h",
    "SLURM_JOB_ID": "1",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_NODEID": "0",
    "OMPI_MCA_btl": "tcp",
    "PMIX_MCA_gds": "hash",
    "MPICH_OFI_NIC_POLICY": "NUMA",
    "FLUX_URI": "local:///x",
    "FLUX_JOB_ID": "f1",
}


@pytest.mark.parametrize("launcher", WORLDS)
def test_a_world_goes_and_the_job_and_settings_stay(launcher: str) -> None:
    environment = {**STAYS, **WORLDS[launcher]}
    leave_world(environment)
    assert environment == STAYS
