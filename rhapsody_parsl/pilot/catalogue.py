"""Which runtimes and kinds of services there are: from the user's configuration to the pilot's half of each."""

from rhapsody_parsl.block.context import Borrow, Context
from rhapsody_parsl.config import BlockConfig, DragonRuntime, LocalRuntime, RuntimeConfig
from rhapsody_parsl.runtimes.dragon.runtime import Dragon
from rhapsody_parsl.runtimes.local.runtime import Local
from rhapsody_parsl.runtimes.mpi.runtime import MPI
from rhapsody_parsl.runtimes.protocol import Runtime
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.runtimes.vllm.runtime import VLLM
from rhapsody_parsl.service_config import CommandService, ServiceConfig, VLLMService
from rhapsody_parsl.services.command.kind import CommandKind
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.services import Services

__all__ = ("build", "build_services", "windows")


def build(config: BlockConfig, context: Context, services: Services) -> dict[str, Runtime]:
    """Return the runtimes by name, in the user's order; last the one that asks services.

    Args:
        config: The block's.
        context: The block.
        services: Its services.
    """
    runtimes = [_build_one(each, context) for each in config.runtimes]
    if any(service.takes_requests for service in config.services):
        runtimes.append(VLLM(services, config.request_workers, context))
    return {runtime.name: runtime for runtime in runtimes}


def _build_one(config: RuntimeConfig, context: Context) -> Runtime:
    match config:
        case LocalRuntime():
            return Local(config, context)
        case DragonRuntime():
            return Dragon(config, context)
        case _:
            return MPI(config, context)


def build_services(config: BlockConfig, context: Context, borrow: Borrow) -> Services:
    """Return the block's services.

    Args:
        config: The block's.
        context: The block.
        borrow: Lends something for the block's life.
    """
    return Services([_kind(each, context) for each in config.services], context, borrow)


def _kind(config: ServiceConfig, context: Context) -> Kind:
    match config:
        case CommandService():
            return CommandKind(config, context)
        case _:
            return VLLMKind(config, context)


def windows(config: BlockConfig) -> dict[str, int]:
    """Return, for runtimes whose tasks take no lease, how many they want at once: as many as replicas may hold."""
    models = [service for service in config.services if isinstance(service, VLLMService)]
    return {"vllm": max(model.requests_in_flight * model.replicas for model in models)} if models else {}
