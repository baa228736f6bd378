"""Bridges-2 (PSC), regular memory nodes: blocks of two whole nodes of 128 cores, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Bridges-2: nothing yet; not run there, written from public pages. Set account
and environment.

- https://www.psc.edu/resources/bridges-2/: two 64-core EPYC 7742, 256 GB (some 512), InfiniBand HDR-200.

Not verified, as the text of https://www.psc.edu/resources/bridges-2/user-guide/ could not be read: the longest walltime
of `RM`, and the words for GPUs. Public job scripts say `partition="GPU"` with `--gpus-per-node=v100-32:8` (also, for
two nodes, `--gpus=v100-32:16`), and load an Open MPI by module, whose `mpirun` they use.
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
                account="ACCOUNT",  # as in abc123456p
                partition="RM",
                nodes_per_block=2,
                cores_per_node=128,
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",
                exclusive=True,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                worker_init="source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],  # the launcher of the environment's own MPI
        )
    ],
)
