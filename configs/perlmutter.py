"""Perlmutter (NERSC), GPU nodes: blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Perlmutter: nothing yet; not run there, written from public pages. Set account,
model and environment (a virtual environment that was made after `module load python`).

- https://docs.nersc.gov/systems/perlmutter/architecture/: 64 cores (one EPYC 7763), four A100s, four Slingshot NICs.
- https://docs.nersc.gov/jobs/policy/: QOS `debug`; 8 nodes, 30 minutes and two running jobs read at second hand.
- https://slurm.schedmd.com/srun.html: `cray_shasta`, for programs of the Cray Programming Environment.

Not verified: whether GPU accounts still have to end in `_g` (other projects' pages say so), `module load python`, and
which PMI is the site's default. The driver's addresses are tried in turn, that of `hsn0` among them.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=SlurmProvider(
                account="ACCOUNT_g",  # said of GPU accounts: they end in _g
                qos="debug",
                constraint="gpu",
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="00:30:00",
                exclusive=True,
                gpus_per_node=4,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                worker_init="module load python; source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun", options=("--mpi=cray_shasta",)),  # Cray MPICH's; our word is pmi2
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],
        )
    ],
)
