"""Which runtimes there are: from the user's configuration to the pilot's half of each."""

from collections.abc import Sequence

from rhapsody_parsl.config import DragonRuntime, LocalRuntime, MPIRuntime, RuntimeConfig
from rhapsody_parsl.runtimes.dragon.runtime import Dragon
from rhapsody_parsl.runtimes.local.runtime import Local
from rhapsody_parsl.runtimes.mpi.runtime import MPI
from rhapsody_parsl.runtimes.protocol import Borrow, Context, Runtime
from rhapsody_parsl.runtimes.vllm.runtime import VLLM

__all__ = ("build",)


def build(configs: Sequence[RuntimeConfig], context: Context, borrow: Borrow) -> dict[str, Runtime]:
    """Return the runtimes by name, in the user's order.

    Args:
        configs: The user's.
        context: The block.
        borrow: Lends something for the block's life; services need it.
    """
    runtimes = [_build_one(config, context, borrow) for config in configs]
    return {runtime.name: runtime for runtime in runtimes}


def _build_one(config: RuntimeConfig, context: Context, borrow: Borrow) -> Runtime:
    match config:
        case LocalRuntime():
            return Local(config, context)
        case DragonRuntime():
            return Dragon(config, context)
        case MPIRuntime():
            return MPI(config, context)
        case _:
            return VLLM(config, context, borrow)
