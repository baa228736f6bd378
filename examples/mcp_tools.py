"""Apps that agents use as tools: `rhapsody-parsl mcp examples/mcp_tools.py`."""

from typing import Annotated

from parsl import Config, python_app
from pydantic import Field

from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate

config = Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])], initialize_logging=False)


@python_app
def energy(distance: Annotated[float, Field(gt=0, description="in units of the minimum")], depth: float = 1.0) -> float:
    """Return the Lennard-Jones energy of two atoms."""
    return depth * (distance**-12 - 2 * distance**-6)


@python_app
@annotate(Policy(walltime=600))
def relax(steps: int, pause: float = 0.1) -> dict[str, float]:
    """Relax a structure; takes `steps` times `pause` seconds."""
    import time  # noqa: PLC0415 - the function travels without its script

    left = 1.0
    for _ in range(steps):
        time.sleep(pause)  # noqa: TID251 - a step of a simulation, say
        left /= 2
    return {"force": left}
