"""Bridges-2 (PSC), regular memory nodes: blocks of two whole nodes of 128 cores, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Bridges-2: nothing yet; not run there, written from public pages. Set account
and environment.

Each line below names its page.

[1] https://www.psc.edu/resources/bridges-2/ (two 64-core EPYC 7742, 256 GB (some 512), InfiniBand HDR-200)
[2] https://github.com/radical-cybertools/rhapsody/blob/main/docs/hpc-machines/bridges2.md (of August 2026, another
    project's page: `--partition=RM`, `--partition=GPU --gpus-per-node=8`, `--account`)
[3] https://slurm.schedmd.com/sbatch.html

Not verified, as the text of https://www.psc.edu/resources/bridges-2/user-guide/ could not be read: the longest walltime
of `RM`, and the words for GPUs. Other public job scripts say `--gpus-per-node=v100-32:8` (also, for two nodes,
`--gpus=v100-32:16`), and load an Open MPI by module, whose `mpirun` they use.
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
                account="ACCOUNT",  # [2]
                partition="RM",  # [2]
                nodes_per_block=2,
                cores_per_node=128,  # [1]
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",  # [2]
                exclusive=True,  # [3]
                scheduler_options="#SBATCH --no-kill",  # [3]: the job survives the loss of a node
                worker_init="source $HOME/venvs/rhapsody/bin/activate",  # yours
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],  # the launcher of the environment's own MPI
        )
    ],
)
