"""`rhapsody-parsl inventory`: what a block would hold here."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.cli.asking import parser_of, say, say_json

if TYPE_CHECKING:
    from rhapsody_parsl.runtimes.protocol import Node

__all__ = ("add",)

log = logging.getLogger(__name__)

_MOST = 40
"""Nodes that are printed one by one."""


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    inventory = parser_of(commands, "inventory", "what a block would hold here: nodes, cores, GPUs, memory", run="")
    inventory.add_argument("--node-launcher", default="auto", metavar="WAY", help="how other hosts are reached")
    inventory.set_defaults(run=_inventory)


def _inventory(arguments: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415 - only here, and it loads much
    import tempfile  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="rhapsody-inventory-") as folder:
        nodes = asyncio.run(_found(Path(folder), arguments.node_launcher))
    say_json(nodes) if arguments.json else _show(nodes)
    return 0


async def _found(folder: Path, node_launcher: str) -> "Sequence[Node]":
    """Return the nodes, as a block's pilot finds them; other hosts of the job are asked."""
    import asyncio  # noqa: PLC0415 - as above

    from rhapsody_parsl.config import BlockConfig, LocalRuntime  # noqa: PLC0415 - a block's own parts
    from rhapsody_parsl.hosts.changes import HostChanges  # noqa: PLC0415 - as above
    from rhapsody_parsl.pilot.discovery import discover  # noqa: PLC0415 - as above

    config = BlockConfig(
        label="inventory",
        addresses=(),
        runtimes=(LocalRuntime(),),
        default_runtime="",
        logs=str(folder),
        node_launcher=node_launcher,
    )
    nodes, hosts = await discover(config, folder, folder, changes=HostChanges())
    silent = {host.name: host.problem for host in hosts.values() if not host.up}
    await asyncio.gather(*(host.stop() for host in hosts.values()))
    for name, problem in silent.items():
        log.warning("%s does not answer, and is not shown: %s", name, problem or "it has not come in time")
    return [node for node in nodes if node.host not in silent]


def _show(nodes: "Sequence[Node]") -> None:
    from rhapsody_parsl.cli import tables  # noqa: PLC0415 - loads rich

    table = tables.table_of("node", ">cores", ">NUMA domains", ">GPUs", "vendor", ">GB", "labels")
    for node in tables.fitting(nodes, _MOST):
        labels = ", ".join(label for label in node.labels if label != node.name)
        vendor = node.gpu_vendor if node.gpus else "-"
        cells = len(node.cores), len(node.domains), len(node.gpus)
        table.add_row(node.name, *map(str, cells), vendor, f"{node.memory:.1f}", labels)
    tables.show(tables.cut(table, len(nodes), _MOST))
    cores, gpus = sum(len(node.cores) for node in nodes), sum(len(node.gpus) for node in nodes)
    say(f"in all: {len(nodes)} nodes, {cores:,} cores, {gpus:,} GPUs, {sum(node.memory for node in nodes):,.0f} GB")
