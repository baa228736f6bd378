"""Aurora (ALCF): blocks of two nodes, for Dragon and MPI tasks; a node has six Intel GPUs of two tiles each.

Run here: it loads and validates. Run on Aurora: nothing yet. Written from ALCF's public documentation. Set account,
environment and the file systems you use.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=PBSProProvider(
                account="ACCOUNT",
                queue="debug",
                nodes_per_block=2,
                cpus_per_node=208,  # hardware threads of the 104 cores
                scheduler_options="#PBS -l filesystems=home:flare\n#PBS -l place=scatter",
                init_blocks=1,
                max_blocks=1,
                walltime="00:30:00",
                worker_init="module load frameworks; source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],  # PALS' mpiexec, found by its name
        )
    ],
)
