"""Frontier (OLCF): blocks of two nodes with eight GPU dies (MI250X) each, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Frontier: nothing yet; not run there, written from public pages. Set account
and environment, best both it and the run directory on Orion (Lustre), which the guide prefers to home for jobs.

The pages, in their text of July 2026; each line below names its own.

[1] https://docs.olcf.ornl.gov/systems/frontier_user_guide.html (also: Slurm keeps the first core of each L3 region, 56
    of 64 are left, and `#SBATCH -S 0` gives the others back; no more than 100 `srun`s at once)
[2] https://docs.olcf.ornl.gov/software/workflows/parsl.html (the driver's address there is that of `hsn0`; here all are
    tried)
[3] https://docs.olcf.ornl.gov/software/analytics/pytorch_frontier.html (the proxy `proxy.ccs.ornl.gov:3128`)
[4] https://slurm.schedmd.com/srun.html, https://slurm.schedmd.com/sbatch.html

Not confirmed, so check: `gpus_per_node` for the job (the guide's jobs do not ask, their steps do), that the pilot's
affinity mask shows the 56 cores, and which PMI is the site's default.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=SlurmProvider(
                account="ACCOUNT",  # [1]
                partition="batch",  # [1]: up to 91 nodes for two hours
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",  # [1]
                exclusive=True,  # [4]
                gpus_per_node=8,  # [1]: dies, each a GPU to Slurm; or the steps that reach other nodes see none
                scheduler_options="#SBATCH --no-kill",  # [4]: the job survives the loss of a node
                worker_init="source /path/to/venvs/rhapsody/bin/activate",  # [1]: on Orion
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun", options=("--mpi=cray_shasta",)),  # [4]: Cray MPICH's; our word is pmi2
            ],
        )
    ],
)
