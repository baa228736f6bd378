"""What the blocks of an executor are told of it."""

from collections.abc import Sequence
from pathlib import Path

from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.executors.checks import walltime_of
from rhapsody_parsl.executors.observed import Observed
from rhapsody_parsl.executors.openai import WithFrontDoor
from rhapsody_parsl.hosts import limits
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.wire.shared_memory import SharedMemory

__all__ = ("Told",)


class Told(Observed, WithFrontDoor):
    """The part of the executor that states what its blocks have to know."""

    offers: tuple[RuntimeConfig, ...]
    encrypted: bool
    declared_nodes: int | None
    node_launcher: str
    working_dir: str | None
    heartbeat_period: int | float
    heartbeat_threshold: int | float
    enforce_memory: bool
    stage_environment: bool
    max_launches: int | None
    max_depth: int
    max_children: int
    openai_wait: int | float
    _scheduling: str
    _shared: SharedMemory

    def _block_config(self, folder: Path, addresses: Sequence[str], token: str) -> BlockConfig:
        """Return it.

        Args:
            folder: The executor's own, in the run directory.
            addresses: Where it listens.
            token: Shows that a pilot belongs to it.
        """
        return BlockConfig(
            label=self.label,
            addresses=tuple(addresses),
            runtimes=self.offers,
            services=self.services.configs,
            default_runtime=self.default_runtime,
            logs=str(folder),
            certificates=str(folder / "certificates") if self.encrypted else "",
            token=token,
            nodes=self.declared_nodes or 0,
            cores_per_node=self.cores_per_node or 0,
            gpus_per_node=-1 if self.gpus_per_node is None else self.gpus_per_node,
            memory_per_node=float(self.mem_per_node or 0),
            node_launcher=self.node_launcher,
            working_dir=self.working_dir or "",
            heartbeat_period=self.heartbeat_period,
            heartbeat_threshold=self.heartbeat_threshold,
            ageing=self.ageing,
            scheduling=self._scheduling,
            shared_folder=self._shared.path,
            enforce_memory=self.enforce_memory,
            record=self.record or self.telemetry,
            stage_environment=self.stage_environment,
            max_launches=self.max_launches or 0,
            max_depth=self.max_depth,
            max_children=self.max_children,
            walltime=walltime_of(self.provider),
            open_files=limits.raised(),
            openai_key=self.openai_key,
            openai_wait=self.openai_wait,
        )
