"""An engine over several nodes: where its processes meet, and what each of them is told of its place among them.

The head picks an address and a port of its own host, for only there can be seen what is free; the pilot hands them to
the members. All speak to each other over the network by which the block's hosts know each other.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psutil

from rhapsody_parsl.hosts.own_address import address_towards
from rhapsody_parsl.runtimes.vllm.adapters import adapter_arguments
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.services.conversation import bind
from rhapsody_parsl.wire.engine_messages import Rendezvous

__all__ = ("engine_arguments", "network_environment", "opened")


@contextmanager
def opened(settings: EngineSettings, tell: Callable[[Rendezvous], None], port: int = 0) -> Iterator[EngineSettings]:
    """Open the head's place to meet, for as long as its engine starts; nothing happens for an engine of one node.

    Args:
        settings: The head's.
        tell: Tells the pilot, which then starts the members.
        port: Where to meet, if it is free; 0 is any.

    Yields:
        The settings, with the place.
    """
    if len(settings.hosts) < 2:  # noqa: PLR2004 - one is alone
        yield settings
        return
    address = address_towards(settings.hosts[-1])
    os.environ.update(network_environment(address))
    # Bound but not listening: nobody else is given the port, and the engine may still take it.
    with bind("0.0.0.0", port) as reserved:  # noqa: S104 - where the engine itself will listen
        place = Rendezvous(address, reserved.getsockname()[1])
        tell(place)
        yield msgspec.structs.replace(settings, rendezvous=place)


def engine_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Return the user's engine arguments and what follows from other settings, and this process's place among nodes."""
    service, rank, place = settings.service, settings.rank, settings.rendezvous
    sleeps = {"enable_sleep_mode": True} if service.sleep else {}
    given = adapter_arguments(service) | sleeps | service.engine_args
    if place is None:
        return given
    if not service.data_parallel:
        given.setdefault("distributed_executor_backend", "mp")
        return given | {
            "nnodes": service.nodes, "node_rank": rank, "master_addr": place.address, "master_port": place.port,
        }  # fmt: skip
    engines = service.parallel("data") // service.nodes
    given |= {
        "data_parallel_size_local": engines,
        "data_parallel_address": place.address,
        "data_parallel_rpc_port": place.port,
    }
    return given | ({"data_parallel_start_rank": rank * engines} if rank else {})


def network_environment(address: str) -> dict[str, str]:
    """Return the variables that keep vLLM, Gloo and NCCL on the network of one of our addresses.

    Gloo's and NCCL's stay as they are where the service or the batch system has set them.
    """
    names = [name for name, own in psutil.net_if_addrs().items() if any(one.address == address for one in own)]
    interface = {"GLOO_SOCKET_IFNAME": names[0], "NCCL_SOCKET_IFNAME": f"={names[0]}"} if names else {}
    return {"VLLM_HOST_IP": address} | {name: os.environ.get(name, value) for name, value in interface.items()}
