"""The start of a block: which hosts it has, our presence on each, and what each says of itself."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.cluster.batch import list_hosts
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.cluster.names import is_known
from rhapsody_parsl.cluster.node_launcher import detect
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts import probe
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.hosts.use import every
from rhapsody_parsl.pilot.gathering import Gathered, gather
from rhapsody_parsl.pilot.inventory import make_nodes
from rhapsody_parsl.pilot.open_files import provide
from rhapsody_parsl.runtimes.protocol import Node

__all__ = ("discover",)

log = logging.getLogger(__name__)

_UNEQUAL_GPUS = (
    "The job's hosts show different numbers of GPUs. If they are alike, ask Slurm for GPUs by number, as with "
    "SlurmProvider(gpus_per_node=...): a job without that shows none in the steps that reach its other hosts"
)


async def discover(
    config: BlockConfig,
    folder: Path,
    logs: Path,
    *,
    changes: HostChanges,
    environment: Mapping[str, str] | None = None,
) -> tuple[list[Node], dict[str, Host]]:
    """Return the block's nodes and its other hosts, with a node agent on each that has come in time.

    Args:
        config: The block's.
        folder: Private; will be on every host.
        logs: For what the node agents complain of.
        changes: Told when one of the other hosts is lost, or back.
        environment: Where the batch system's variables are; default `os.environ`.

    Raises:
        RhapsodyError: The batch system's list cannot be read, or there is no way to the other hosts.
        TooFewOpenFiles: The hard limit is too low for the pilot.
    """
    environment = os.environ if environment is None else environment
    here = socket.gethostname()
    listed = [Listed(here)] if config.nodes else list_hosts(environment, here)
    named = await _named(listed)
    first = probe.facts(environment)
    facts = {listed[0].name: first}
    address = listed[0].name if named else first.address
    tree = Tree.of([each.name for each in listed[1:]], environment) if named else STAR
    others = await _open(
        config, listed[1:], address, tree=tree, folder=folder, logs=logs, changes=changes, environment=environment,
        known=first if named else None,
    )  # fmt: skip
    facts |= others.facts
    if "SLURM_JOB_ID" in environment and len({len(each.gpus) for each in facts.values()}) > 1:
        shown = ", ".join(f"{name} {len(each.gpus)}" for name, each in facts.items())
        log.warning("%s (%s)", _UNEQUAL_GPUS, shown)
    nodes = make_nodes(config, listed, facts, named)
    hosts = {host.name: host for host in others.hosts}
    ours = [node for node in nodes if node.host == nodes[0].host]
    in_steps = any(host.in_steps for host in hosts.values())
    provide(len(hosts), ours, len(config.runtimes), in_steps=in_steps, tree=tree)
    return nodes, hosts


async def _named(listed: Sequence[Listed]) -> bool:
    """Whether the network knows hosts by the batch system's names; where none answers, to learn that takes long."""
    return len(listed) == 1 or await asyncio.to_thread(is_known, listed[0].name)


async def _open(  # noqa: PLR0913 - as many facts, each from somewhere else
    config: BlockConfig,
    listed: Sequence[Listed],
    address: str,
    *,
    tree: Tree,
    folder: Path,
    logs: Path,
    changes: HostChanges,
    environment: Mapping[str, str],
    known: HostFacts | None,
) -> Gathered:
    if not listed:
        return Gathered([], {})
    node_launcher = detect(config.node_launcher, environment)
    provide(len(listed), in_steps=bool(node_launcher.step), tree=tree)
    period, threshold = config.heartbeat_period, config.heartbeat_threshold
    use_every = every(len(listed)) if config.record else 0.0
    listener = AgentListener(address, len(listed), period=period, threshold=threshold, use_every=use_every, tree=tree)
    starter = Starter(node_launcher, folder, logs, listener, hosts=len(listed))
    hosts = [Host(each.name, starter=starter, listener=listener, on_change=changes.tell) for each in listed]
    try:
        return await gather(hosts, node_launcher.kind, known)
    except RhapsodyError:
        listener.close()
        raise
