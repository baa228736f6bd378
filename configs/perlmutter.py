"""Perlmutter (NERSC), GPU nodes: blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Perlmutter: nothing yet; not run there, written from public pages. Set account,
model and environment (a virtual environment that was made after `module load python`).

Each line below names its page.

[1] https://docs.nersc.gov/jobs/policy/ (`debug` is also the default; its limits of 8 nodes, 30 minutes and two running
    jobs only at second hand: the table could not be read)
[2] https://docs.nersc.gov/systems/perlmutter/architecture/, https://docs.nersc.gov/beginner-guide/nodetypesfig (one
    EPYC 7763, four A100s and 256 GB per GPU node)
[3] Other projects' pages: https://github.com/radical-cybertools/rhapsody/blob/main/docs/hpc-machines/perlmutter.md
    (`-C gpu`), and the job script that WarpX, partly of the same laboratory, gives to its users there,
    https://github.com/ECP-WarpX/WarpX/blob/development/Tools/machines/perlmutter-nersc/perlmutter_gpu.sbatch (`-C gpu`,
    `--exclusive`, `--gpus-per-node=4`, an account that "must end on _g")
[4] https://slurm.schedmd.com/srun.html, https://slurm.schedmd.com/sbatch.html

Not confirmed by a page of the site, so check there: whether GPU accounts still have to end in `_g`, `module load
python`, and which PMI is the default. The driver's addresses are tried in turn, that of `hsn0` among them.
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
                account="ACCOUNT_g",  # [3]
                qos="debug",  # [1]
                constraint="gpu",  # [3]
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="00:30:00",  # [1]
                exclusive=True,  # [3, 4]
                gpus_per_node=4,  # [2, 3]
                scheduler_options="#SBATCH --no-kill",  # [4]: the job survives the loss of a node
                worker_init="module load python; source $HOME/venvs/rhapsody/bin/activate",  # not confirmed: check
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun", options=("--mpi=cray_shasta",)),  # [4]: Cray MPICH's; our word is pmi2
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],
        )
    ],
)
