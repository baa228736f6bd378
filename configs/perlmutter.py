"""Perlmutter (NERSC), GPU nodes: blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Perlmutter: nothing yet; not run there, written from public pages. Set account,
model and environment (a virtual environment that was made after `module load python`).

Each line below names its page.

[1] https://docs.nersc.gov/jobs/policy/ (`debug` is also the default)
[2] https://docs.nersc.gov/systems/perlmutter/architecture/, https://docs.nersc.gov/beginner-guide/nodetypesfig (one
    EPYC 7763, four A100s and 256 GB per GPU node)
[3] https://github.com/NERSC/workflow-automation-tutorial/blob/main/02-maestro/example3-slurm-config/README.md (the
    site's own tutorial, of May 2026: a job without `--constraint=cpu` or `gpu` is refused, and one that names a
    partition may be; `debug` gives up to four nodes and 30 minutes; `module load python`)
[4] https://github.com/NERSC/sc23-dl-tutorial/blob/main/submit_pm_mp.sh (the site's own, of 2023: `-C gpu`,
    `--gpus-per-node 4`, the project's plain name as account; pages of other projects write it with `_g` at its end)
[5] https://slurm.schedmd.com/srun.html, https://slurm.schedmd.com/sbatch.html

Not confirmed by a page of the site, so check there: whether your GPU account ends in `_g`, that whole nodes of `gpu`
take `--exclusive`, and which PMI is the default. The driver's addresses are tried in turn, that of `hsn0` among them.
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
                account="ACCOUNT",  # [4]
                qos="debug",  # [1, 3]
                constraint="gpu",  # [3]
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="00:30:00",  # [3]
                exclusive=True,  # [5]
                gpus_per_node=4,  # [2, 4]
                scheduler_options="#SBATCH --no-kill",  # [5]: the job survives the loss of a node
                worker_init="module load python; source $HOME/venvs/rhapsody/bin/activate",  # [3]; yours
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun", options=("--mpi=cray_shasta",)),  # [5]: Cray MPICH's; our word is pmi2
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],
        )
    ],
)
