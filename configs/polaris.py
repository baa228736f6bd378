"""Polaris (ALCF): blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Polaris: nothing yet; not run there, written from public pages. Set account,
model and environment (a virtual environment on top of the `conda` module's).

The pages, in their text of August 2026; each line below names its own.

[1] https://docs.alcf.anl.gov/polaris/running-jobs/ (also: the internet through `proxy.alcf.anl.gov:3128` only)
[2] https://docs.alcf.anl.gov/polaris/workflows/parsl/
[3] https://docs.alcf.anl.gov/polaris/known-issues/
[4] https://docs.alcf.anl.gov/polaris/data-science/python/
[5] https://docs.alcf.anl.gov/polaris/workflows/dragon/ (Dragon's transport, for runtimes over several nodes, wants
    `dragon-config add --ofi-runtime-lib=...` once; the page has the path)
[6] https://docs.alcf.anl.gov/running-jobs/
[7] https://docs.alcf.anl.gov/polaris/data-science/frameworks/vllm/ (the `conda` module has vLLM 0.11, older than the
    extra `vllm` takes: install that in your environment)
[8] https://github.com/Parsl/parsl/blob/master/parsl/configs/polaris.py (of Parsl 2026.10.26: the same lines as [2])
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=PBSProProvider(
                account="ACCOUNT",  # [6]
                queue="debug",  # [1]: up to two nodes and an hour
                nodes_per_block=2,
                cpus_per_node=64,  # [1, 8]: hardware threads of the 32 cores
                select_options="ngpus=4",  # [2, 8]
                scheduler_options="#PBS -l filesystems=home:eagle\n#PBS -l place=scatter",  # [2], [6]
                init_blocks=1,
                max_blocks=1,
                walltime="00:30:00",  # [1]
                worker_init=(  # modules and environment [4]; no xalt, for Dragon [5]; socket paths under mpiexec [3]
                    "module use /soft/modulefiles; module load conda; conda activate base; module unload xalt; "
                    "source $HOME/venvs/rhapsody/bin/activate; export TMPDIR=/tmp"
                ),
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(),  # [1]: HPE's PALS mpiexec, found by its name
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],  # [7]: weights in /eagle
        )
    ],
)
