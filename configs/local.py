"""A laptop or workstation: one block on this machine, Dragon and MPI, and a model service if `MODEL` names one.

Run here: yes.
"""

import os

from parsl import Config
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService

model = os.environ.get("MODEL")
services = [VLLMService("assistant", model=model, cores=0, engine_args={"max_model_len": 1024})] if model else []

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=LocalProvider(init_blocks=1, max_blocks=1),
            runtimes=[DragonRuntime(), MPIRuntime()],
            services=services,
        )
    ],
    strategy="none",
)
